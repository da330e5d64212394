// Package helm asks Helm, and the libraries that it is built on, what they make of our cases.
package helm

import (
	"text/template"
	_ "unsafe" // for go:linkname

	"helm.sh/helm/v4/pkg/engine"
)

// initFunMap gives a template the functions of Helm's engine. Only the engine itself can call it: it renders whole charts, whose
// values are below `.Values`, and puts its own words in the place of the template's errors.
//
//go:linkname initFunMap helm.sh/helm/v4/pkg/engine.Engine.initFunMap
func initFunMap(engine.Engine, *template.Template)
