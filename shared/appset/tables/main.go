// Derives ../src/types.txt from the sources of Argo CD and of apimachinery, whose folders are the arguments:
//
//	cd tests/reference/record/argo && dir() { go list -m -f '{{.Dir}}' "$1"; }
//	go run ../../../../shared/appset/tables/main.go "$(dir github.com/argoproj/argo-cd/v3)" "$(dir k8s.io/apimachinery)" \
//	    >../../../../shared/appset/src/types.txt
//
// Each type is a line `type NAME` and a line `FIELD TYPE` for each field by its JSON name. TYPE is string, bool, int, intstr, time,
// json (anything), or the NAME of another; `*` before it is a pointer, `[]` a list, `{}` a map with texts as keys. `?` comes
// first where an empty value is left out, `+` where a strategic merge patch merges the list.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// The types that are asked for; those that they name follow.
var roots = []string{"ApplicationSetSpec", "Application", "NestedMatrixGenerator", "NestedMergeGenerator"}

// What the server keeps, and no template has a say in.
var left = map[string]bool{"Application.status": true, "ObjectMeta.managedFields": true}

// Types whose own JSON decides.
var known = map[string]string{
	"JSON": "json", "RawExtension": "json", "IntOrString": "intstr", "Time": "time", "UID": "string",
	"string": "string", "bool": "bool", "int64": "int", "int32": "int", "int": "int",
}

var (
	types = map[string]ast.Expr{}
	seen  = map[string]bool{}
	queue []string
)

func main() {
	argo, machinery := os.Args[1], os.Args[2]
	read(filepath.Join(machinery, "pkg/apis/meta/v1/types.go"))
	for _, name := range []string{"types.go", "applicationset_types.go"} {
		read(filepath.Join(argo, "pkg/apis/application/v1alpha1", name))
	}
	for _, name := range roots {
		want(name)
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		fmt.Println("type", name)
		fields(name, name)
	}
}

func read(path string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		panic(err)
	}
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			if spec, ok := spec.(*ast.TypeSpec); ok {
				types[spec.Name.Name] = spec.Type
			}
		}
	}
}

func want(name string) {
	if !seen[name] {
		seen[name] = true
		queue = append(queue, name)
	}
}

func fields(owner, name string) {
	for _, field := range types[name].(*ast.StructType).Fields.List {
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
		parts := strings.Split(tag.Get("json"), ",")
		if parts[0] == "-" {
			continue
		}
		if parts[0] == "" {
			if star, ok := field.Type.(*ast.StarExpr); ok {
				// Such a struct is there as soon as one of its fields is.
				for _, inner := range types[base(star.X)].(*ast.StructType).Fields.List {
					text, _ := expression(inner.Type)
					fmt.Println(strings.ToLower(inner.Names[0].Name), "?*"+text)
				}
				continue
			}
			fields(owner, base(field.Type))
			continue
		}
		if left[owner+"."+parts[0]] {
			continue
		}
		text, isStruct := expression(field.Type)
		flags := ""
		if has(parts, "omitempty") && !isStruct || has(parts, "omitzero") {
			flags = "?"
		}
		if owner == "ApplicationSourcePluginParameter" && parts[0] == "name" {
			flags = "" // Its MarshalJSON always has a name.
		}
		if tag.Get("patchStrategy") == "merge" && tag.Get("patchMergeKey") == "" {
			flags += "+"
		}
		fmt.Println(parts[0], flags+text)
	}
}

func has(parts []string, option string) bool {
	for _, part := range parts[1:] {
		if part == option {
			return true
		}
	}
	return false
}

func base(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	panic(fmt.Sprintf("%T", e))
}

// expression is the text of a type, and whether it is a struct, which Go never leaves out for being empty.
func expression(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.StarExpr:
		text, _ := expression(e.X)
		return "*" + text, false
	case *ast.ArrayType:
		text, _ := expression(e.Elt)
		return "[]" + text, false
	case *ast.MapType:
		text, _ := expression(e.Value)
		return "{}" + text, false
	}
	name := base(e)
	if text, ok := known[name]; ok {
		return text, false
	}
	if _, ok := types[name].(*ast.StructType); ok {
		want(name)
		return name, true
	}
	return expression(types[name])
}
