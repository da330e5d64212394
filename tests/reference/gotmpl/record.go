// Records what Go's text/template makes of the cases: `go run . <cases.jsonl >expected.jsonl` in this folder.
//
// A case is {"name", "template", "data", "missingkey"}; whole numbers in the data become int where "ints" is true, else every
// number is a float64. The answer is {"name"} with "output", or "error" where text/template fails.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type request struct {
	Name       string          `json:"name"`
	Template   string          `json:"template"`
	Data       json.RawMessage `json:"data"`
	MissingKey string          `json:"missingkey"`
	Ints       bool            `json:"ints"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var c request
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, err, lines.Text())
			os.Exit(1)
		}
		answer := struct {
			Name   string  `json:"name"`
			Output *string `json:"output,omitempty"`
			Error  string  `json:"error,omitempty"`
		}{Name: c.Name}
		if text, err := render(c); err != nil {
			answer.Error = err.Error()
		} else {
			answer.Output = &text
		}
		if err := out.Encode(answer); err != nil {
			panic(err)
		}
	}
}

func render(c request) (string, error) {
	var data any
	if len(c.Data) > 0 {
		decoder := json.NewDecoder(strings.NewReader(string(c.Data)))
		decoder.UseNumber()
		if err := decoder.Decode(&data); err != nil {
			return "", err
		}
	}
	t := template.New("case")
	if c.MissingKey != "" {
		t = t.Option("missingkey=" + c.MissingKey)
	}
	t, err := t.Parse(c.Template)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, numbers(data, c.Ints))
	return out.String(), err
}

func numbers(data any, ints bool) any {
	switch data := data.(type) {
	case map[string]any:
		for key, value := range data {
			data[key] = numbers(value, ints)
		}
	case []any:
		for i, value := range data {
			data[i] = numbers(value, ints)
		}
	case json.Number:
		if n, err := data.Int64(); err == nil && ints {
			return int(n)
		}
		f, _ := data.Float64()
		return f
	}
	return data
}
