// Derives the tables in ../src/tables from the pinned modules: `go run . ../src/tables`.
//
// schema.txt: which lists of the built-in types merge and by which keys, from the OpenAPI document that Kustomize embeds.
// scopes.txt: kinds that are known to have no namespace.
// fieldspecs.txt: the fields that transformers change by default.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	_ "sigs.k8s.io/kustomize/api/types"
)

func main() {
	out := os.Args[1]
	openapi.SchemaForResourceType(yaml.TypeMeta{APIVersion: "v1", Kind: "Pod"})
	write(out, "schema.txt", schema(openapi.Schema().Definitions))
	write(out, "scopes.txt", scopes())
	write(out, "fieldspecs.txt", fieldSpecs())
}

func write(folder, name string, lines []string) {
	must(os.WriteFile(filepath.Join(folder, name), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func target(ref spec.Ref) string {
	s := ref.String()
	return s[strings.LastIndex(s, "/")+1:]
}

// field is one line of the table: name, then `=TYPE` for a mapping, `*TYPE` for a map's values, `[KEYS]TYPE` for a list that
// merges and `[]TYPE` for one that does not.
func field(s spec.Schema) (text, child string, merges bool) {
	if t := target(s.Ref); t != "" {
		return "=" + t, t, false
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		if t := target(s.AdditionalProperties.Schema.Ref); t != "" {
			return "*" + t, t, false
		}
		return "", "", false
	}
	if s.Items == nil || s.Items.Schema == nil {
		return "", "", false
	}
	child = target(s.Items.Schema.Ref)
	strategy, _ := s.Extensions["x-kubernetes-patch-strategy"].(string)
	for _, one := range strings.Split(strategy, ",") {
		merges = merges || one == "merge"
	}
	if !merges {
		return "[]" + child, child, false
	}
	var keys []string
	if list, ok := s.Extensions["x-kubernetes-list-map-keys"].([]interface{}); ok {
		for _, key := range list {
			keys = append(keys, key.(string))
		}
	} else if key, ok := s.Extensions["x-kubernetes-patch-merge-key"].(string); ok {
		keys = []string{key}
	}
	return "[+" + strings.Join(keys, ",") + "]" + child, child, true
}

func schema(definitions spec.Definitions) (lines []string) {
	// A type matters where a list that merges can be reached from it.
	matters := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for name, definition := range definitions {
			for _, property := range definition.Properties {
				if _, child, merges := field(property); !matters[name] && (merges || matters[child]) {
					matters[name], changed = true, true
				}
			}
		}
	}
	short := func(name string) string {
		name = strings.TrimPrefix(name, "io.k8s.")
		return name
	}
	names := make([]string, 0, len(matters))
	for name := range matters {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		definition := definitions[name]
		line := "type " + short(name)
		gvks, _ := definition.Extensions["x-kubernetes-group-version-kind"].([]interface{})
		for _, gvk := range gvks {
			m := gvk.(map[string]interface{})
			api := m["version"].(string)
			if g, _ := m["group"].(string); g != "" {
				api = g + "/" + api
			}
			line += " " + api + ":" + m["kind"].(string)
		}
		lines = append(lines, line)
		var fields []string
		for key, property := range definition.Properties {
			text, child, merges := field(property)
			if matters[child] {
				fields = append(fields, key+" "+strings.Replace(text, child, short(child), 1))
			} else if merges {
				fields = append(fields, key+" "+strings.TrimSuffix(text, child))
			}
		}
		sort.Strings(fields)
		lines = append(lines, fields...)
	}
	return lines
}

// moduleDir is where the go command keeps a module's source.
func moduleDir(module string) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	must(err)
	return strings.TrimSpace(string(out))
}

func scopes() (lines []string) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleDir("sigs.k8s.io/kustomize/kyaml"), "openapi/openapi.go"), nil, 0)
	must(err)
	ast.Inspect(file, func(node ast.Node) bool {
		value, ok := node.(*ast.ValueSpec)
		if !ok || value.Names[0].Name != "precomputedIsNamespaceScoped" {
			return true
		}
		for _, element := range value.Values[0].(*ast.CompositeLit).Elts {
			pair := element.(*ast.KeyValueExpr)
			var parts []string
			for _, part := range pair.Key.(*ast.CompositeLit).Elts {
				text, err := strconv.Unquote(part.(*ast.KeyValueExpr).Value.(*ast.BasicLit).Value)
				must(err)
				parts = append(parts, text)
			}
			if pair.Value.(*ast.Ident).Name == "false" {
				lines = append(lines, strings.Join(parts, ":"))
			}
		}
		return false
	})
	sort.Strings(lines)
	return lines
}

type fieldSpec struct {
	Group, Version, Kind, Path string
	Create                     bool
}

func (f fieldSpec) line() string {
	create := "-"
	if f.Create {
		create = "+"
	}
	return strings.Join([]string{create, f.Group, f.Version, f.Kind, f.Path}, "|")
}

// fieldSpecs joins the YAML constants of Kustomize's defaults: sections are `[name]`, referral targets `@group|version|kind`.
func fieldSpecs() (lines []string) {
	folder := filepath.Join(moduleDir("sigs.k8s.io/kustomize/api"), "internal/konfig/builtinpluginconsts")
	packages, err := parser.ParseDir(token.NewFileSet(), folder, nil, 0)
	must(err)
	constants := map[string]ast.Expr{}
	for _, file := range packages["builtinpluginconsts"].Files {
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.CONST {
				continue
			}
			for _, one := range general.Specs {
				value := one.(*ast.ValueSpec)
				constants[value.Names[0].Name] = value.Values[0]
			}
		}
	}
	var text func(ast.Expr) string
	text = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, err := strconv.Unquote(e.Value)
			must(err)
			return s
		case *ast.BinaryExpr:
			return text(e.X) + text(e.Y)
		case *ast.Ident:
			return text(constants[e.Name])
		}
		panic("a constant of another form")
	}
	for _, name := range []string{"namePrefix", "nameSuffix", "commonLabel", "templateLabel", "commonAnnotation", "namespace", "varReference", "nameReference", "images", "replicas"} {
		var sections map[string][]struct {
			fieldSpec  `yaml:",inline"`
			FieldSpecs []fieldSpec `yaml:"fieldSpecs"`
		}
		must(yaml.Unmarshal([]byte(text(constants[name+"FieldSpecs"])), &sections))
		for section, entries := range sections {
			lines = append(lines, "["+section+"]")
			for _, entry := range entries {
				if len(entry.FieldSpecs) == 0 {
					lines = append(lines, entry.line())
					continue
				}
				lines = append(lines, "@"+strings.Join([]string{entry.Group, entry.Version, entry.Kind}, "|"))
				for _, referrer := range entry.FieldSpecs {
					lines = append(lines, referrer.line())
				}
			}
		}
	}
	return lines
}
