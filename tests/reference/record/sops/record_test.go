// Records what SOPS itself says of the files in ../../sops/cases.
package record

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/decrypt"
)

type answer struct {
	Name  string `json:"name"`
	Plain []byte `json:"plain,omitempty"`
	Error string `json:"error,omitempty"`
}

func TestRecord(t *testing.T) {
	folder := "../../sops"
	t.Setenv("SOPS_AGE_KEY_FILE", filepath.Join(folder, "keys.txt"))
	entries, err := os.ReadDir(filepath.Join(folder, "cases"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, "cases", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found := answer{Name: entry.Name()}
		found.Plain, err = decrypt.DataWithFormat(data, formats.FormatForPath(entry.Name()))
		if err != nil {
			found = answer{Name: entry.Name(), Error: err.Error()}
		}
		if err := json.NewEncoder(&out).Encode(found); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "expected.jsonl"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
