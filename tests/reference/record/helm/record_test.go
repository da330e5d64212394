// Records as tests, because only these may set the clock (testing/synctest).
package helm

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"text/template"
	"time"
	_ "time/tzdata"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/getter"

	"slipway/reference/record/lines"
)

func TestRecord(t *testing.T) {
	t.Setenv("TZ", "UTC")
	lines.Record(t, "gotemplate", rendered)
	lines.Record(t, "sprig", rendered)
	lines.Record(t, "semver", versions)
	lines.Record(t, "strvals", merged)
	lines.Record(t, "schema", judged)
}

// now is what the clock says while templates are rendered.
var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

type templateCase struct {
	Name, Template string
	Data           any
	Matches        string
}

func rendered(t *testing.T, line []byte) (answer map[string]any) {
	c := lines.Decode[templateCase](t, line)
	var text string
	var err error
	synctest.Test(t, func(*testing.T) {
		time.Sleep(time.Until(now))
		text, err = render(c)
	})
	switch {
	case err != nil:
		return map[string]any{"error": err.Error()}
	case c.Matches != "":
		if !regexp.MustCompile(c.Matches).MatchString(text) {
			t.Fatalf("%s: %s does not match %q", c.Name, c.Matches, text)
		}
		return map[string]any{}
	case !utf8.ValidString(text):
		return map[string]any{"expected_base64": base64.StdEncoding.EncodeToString([]byte(text))}
	}
	return map[string]any{"expected": text}
}

// render does with one template what Helm's engine does with those of a chart.
func render(c templateCase) (text string, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("rendering template failed: %v", reason)
		}
	}()
	t := template.New("gotpl").Option("missingkey=zero")
	initFunMap(engine.Engine{}, t)
	if _, err := t.New("vec").Parse(c.Template); err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.ExecuteTemplate(&out, "vec", c.Data)
	return strings.ReplaceAll(out.String(), "<no value>", ""), err
}

type versionCase struct {
	Name, Constraint, Version string
	Compare, Sort             []string
}

func versions(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[versionCase](t, line)
	failed := func(err error) map[string]any { return map[string]any{"error": true, "message": err.Error()} }
	if c.Compare != nil {
		return map[string]any{"result": semver.MustParse(c.Compare[0]).Compare(semver.MustParse(c.Compare[1]))}
	}
	if c.Sort != nil {
		var sorted semver.Collection
		for _, text := range c.Sort {
			sorted = append(sorted, semver.MustParse(text))
		}
		sort.Stable(sorted)
		var texts []string
		for _, version := range sorted {
			texts = append(texts, version.Original())
		}
		return map[string]any{"sorted": texts}
	}
	if !strings.Contains(string(line), `"constraint"`) {
		v, err := semver.NewVersion(c.Version)
		if err != nil {
			return failed(err)
		}
		return map[string]any{"parsed": map[string]any{
			"major": v.Major(), "minor": v.Minor(), "patch": v.Patch(), "prerelease": v.Prerelease(),
			"metadata": v.Metadata(), "original": v.Original(), "string": v.String(),
		}}
	}
	constraint, err := semver.NewConstraint(c.Constraint)
	if err != nil {
		return failed(err)
	}
	if c.Version == "" {
		return map[string]any{"valid": true}
	}
	return map[string]any{"match": constraint.Check(semver.MustParse(c.Version))}
}

type schemaCase struct {
	Name, Schema string
	Values       map[string]any
}

func judged(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[schemaCase](t, line)
	err := util.ValidateAgainstSingleSchema(c.Values, []byte(c.Schema))
	var mistakes util.JSONSchemaValidationError
	switch {
	case err == nil:
		return map[string]any{"answer": "valid"}
	case errors.As(err, &mistakes):
		return map[string]any{"answer": "invalid"}
	}
	return map[string]any{"answer": "refused"}
}

type valuesCase struct {
	Name  string
	Args  [][2]string
	Base  json.RawMessage
	Files map[string]string
}

func merged(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[valuesCase](t, line)
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chdir(folder); err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(here)
	var options values.Options
	if len(c.Base) > 0 {
		write("base.yaml", string(c.Base))
		options.ValueFiles = []string{"base.yaml"}
	}
	for name, text := range c.Files {
		write(name, text)
	}
	for _, arg := range c.Args {
		list := map[string]*[]string{
			"set": &options.Values, "set-string": &options.StringValues, "set-json": &options.JSONValues,
			"set-file": &options.FileValues, "set-literal": &options.LiteralValues,
		}[arg[0]]
		*list = append(*list, arg[1])
	}
	merged, err := options.MergeValues(getter.Providers{})
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"expected": merged}
}
