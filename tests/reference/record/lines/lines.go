// Package lines answers the cases of a suite, line by line.
package lines

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Record writes to expected.jsonl of a suite's folder what answer gives for each line of its cases.jsonl.
func Record(t *testing.T, suite string, answer func(t *testing.T, line []byte) map[string]any) {
	folder := filepath.Join("..", "..", suite)
	cases, err := os.Open(filepath.Join(folder, "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer cases.Close()
	var out bytes.Buffer
	scanner := bufio.NewScanner(cases)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := bytes.Clone(scanner.Bytes())
		var named struct{ Name string }
		if err := json.Unmarshal(line, &named); err != nil {
			t.Fatalf("%s: %v: %s", suite, err, line)
		}
		first := encode(t, named.Name, answer(t, line))
		// What Go's maps or the input's order decide is no answer.
		for range 4 {
			if again := encode(t, named.Name, answer(t, line)); !bytes.Equal(first, again) {
				t.Fatalf("%s: the answer varies:\n%s%s", suite, first, again)
			}
		}
		out.Write(first)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "expected.jsonl"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Decode reads a line into a case; a field that the case does not have is a mistake.
func Decode[T any](t *testing.T, line []byte) (parsed T) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return parsed
}

func encode(t *testing.T, name string, answer map[string]any) []byte {
	answer["name"] = name
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out.Bytes()
}
