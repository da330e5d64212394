// Answers of sigs.k8s.io/yaml: `record read < texts.json > read.jsonl`, `record write < values.json > write.jsonl`.
// texts.json is a list of strings, values.json a list of values; the records hold them, so that they can be recorded again:
//
//	jq -s '[.[].yaml]' read.jsonl | go run . read
//	jq -s '[.[].json | fromjson]' write.jsonl | go run . write
package main

import (
	"bytes"
	"encoding/json"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	var inputs []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&inputs); err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, input := range inputs {
		record := map[string]string{}
		if os.Args[1] == "read" {
			var text string
			json.Unmarshal(input, &text)
			record["yaml"] = text
			answer, err := yaml.YAMLToJSON([]byte(text))
			set(record, "json", answer, err)
		} else {
			decoder := json.NewDecoder(bytes.NewReader(input))
			decoder.UseNumber()
			var value any
			decoder.Decode(&value)
			record["json"] = string(input)
			answer, err := yaml.Marshal(value)
			set(record, "yaml", answer, err)
		}
		out.Encode(record)
	}
}

func set(record map[string]string, key string, answer []byte, err error) {
	if err != nil {
		record["error"] = err.Error()
	} else {
		record[key] = string(answer)
	}
}
