// Records what go-jsonnet makes of the cases in ../../jsonnet.
package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/google/go-jsonnet"
)

type given struct {
	Name  string            `json:"name"`
	Files map[string]string `json:"files"`
	// Folders in which imports are looked for, as Argo CD's `libs`.
	Libs    []string          `json:"libs"`
	ExtVars map[string]string `json:"extVars"`
	ExtCode map[string]string `json:"extCode"`
	TlaVars map[string]string `json:"tlaVars"`
	TlaCode map[string]string `json:"tlaCode"`
}

type answer struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

// Finds files as go-jsonnet's importer of the file system does.
type importer struct {
	given    given
	contents map[string]jsonnet.Contents
}

func (i *importer) Import(from, name string) (jsonnet.Contents, string, error) {
	folders := []string{path.Dir(from)}
	for at := len(i.given.Libs) - 1; at >= 0; at-- {
		folders = append(folders, i.given.Libs[at])
	}
	for _, folder := range folders {
		place := path.Join(folder, name)
		if text, ok := i.given.Files[place]; ok {
			if _, known := i.contents[place]; !known {
				i.contents[place] = jsonnet.MakeContents(text)
			}
			return i.contents[place], place, nil
		}
	}
	return jsonnet.Contents{}, "", fmt.Errorf("couldn't open import %q", name)
}

func evaluate(one given) answer {
	vm := jsonnet.MakeVM()
	vm.Importer(&importer{one, map[string]jsonnet.Contents{}})
	vm.SetTraceOut(&bytes.Buffer{})
	for name, value := range one.ExtVars {
		vm.ExtVar(name, value)
	}
	for name, value := range one.ExtCode {
		vm.ExtCode(name, value)
	}
	for name, value := range one.TlaVars {
		vm.TLAVar(name, value)
	}
	for name, value := range one.TlaCode {
		vm.TLACode(name, value)
	}
	text, err := vm.EvaluateAnonymousSnippet("main.jsonnet", one.Files["main.jsonnet"])
	if err != nil {
		return answer{Name: one.Name, Error: err.Error()}
	}
	var value bytes.Buffer
	if err := json.Compact(&value, []byte(text)); err != nil {
		return answer{Name: one.Name, Error: err.Error()}
	}
	return answer{Name: one.Name, Value: value.Bytes()}
}

func TestRecord(t *testing.T) {
	folder := "../../jsonnet"
	cases, err := os.Open(filepath.Join(folder, "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer cases.Close()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	names := map[string]bool{}
	lines := bufio.NewScanner(cases)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one given
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&one); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if names[one.Name] {
			t.Fatalf("%s: twice", one.Name)
		}
		names[one.Name] = true
		if err := encoder.Encode(evaluate(one)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "expected.jsonl"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
