package argo

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"slipway/reference/record/lines"
)

type syncCase struct {
	Name      string
	PruneLast bool
	Tasks     []struct {
		Phase, Group, Version, Kind, Namespace, Name string
		Annotations                                  map[string]string
		Prune                                        bool
		CrdGroup, CrdKind                            string
	}
}

// ordered gives the places of the case's tasks in the order in which the engine runs them, and the phase and wave of each.
func ordered(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[syncCase](t, line)
	places := map[task]int{}
	targets := map[kube.ResourceKey]*unstructured.Unstructured{}
	live := map[kube.ResourceKey]*unstructured.Unstructured{}
	for i, one := range c.Tasks {
		o := object(schema.GroupVersion{Group: one.Group, Version: one.Version}.String(), one.Kind, one.Namespace, one.Name, one.Annotations)
		if one.CrdKind != "" {
			o.Object["spec"] = map[string]any{"group": one.CrdGroup, "names": map[string]any{"kind": one.CrdKind}}
		}
		o.SetUID(types.UID(strconv.Itoa(i)))
		// A hook of several phases is several tasks.
		places[task{phase: phaseBefore(one.Phase, one.Prune), id: id(o)}] = i
		if one.Prune {
			live[kube.GetResourceKey(o)] = o
		} else {
			targets[kube.GetResourceKey(o)] = o
		}
	}
	var objects []*unstructured.Unstructured
	for _, o := range targets {
		objects = append(objects, o)
	}
	found := tasks(t, c, objects, live)
	if len(found) != len(c.Tasks) || len(places) != len(c.Tasks) {
		t.Fatalf("%s: %d tasks became %v", c.Name, len(c.Tasks), found)
	}
	order, after := []int{}, []map[string]any{}
	for _, one := range found {
		place, ok := places[task{phase: one.phase, id: one.id}]
		if !ok {
			// What others need runs in the phase of the first that needs it.
			for key, i := range places {
				if key.id == one.id {
					place, ok = i, true
				}
			}
		}
		if !ok {
			t.Fatalf("%s: nobody asked for %v", c.Name, one)
		}
		order = append(order, place)
		after = append(after, map[string]any{"phase": one.phase, "wave": one.wave})
	}
	return map[string]any{"order": order, "after": after}
}

func phaseBefore(phase string, prune bool) string {
	if prune {
		return "Sync"
	}
	return phase
}

type task struct {
	phase string
	wave  int
	id    string
}

func id(o *unstructured.Unstructured) string {
	gvk := o.GroupVersionKind()
	return gvk.Group + "/" + gvk.Kind + ":" + o.GetNamespace() + "/" + o.GetName()
}

// As a task of the engine prints itself.
var printed = regexp.MustCompile(`(\w+)/(-?\d+) (?:hook|resource) (\S+:\S*/\S+) (?:obj|nil)->(?:obj|nil) \(`)

// tasks are those of a sync of targets, in order, as the engine tells its log before it does the first: it has no other way to give them.
func tasks(t *testing.T, c syncCase, targets []*unstructured.Unstructured, live map[kube.ResourceKey]*unstructured.Unstructured) (found []task) {
	const told = `"msg"="Tasks (dry-run)"`
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, told) {
			panic(args)
		}
	}, funcr.Options{})
	everything := map[kube.ResourceKey]*unstructured.Unstructured{}
	for key, o := range live {
		everything[key] = o
	}
	config := &rest.Config{Host: "http://nowhere.invalid", Transport: nowhere{}}
	engine, _, err := sync.NewSyncContext("", sync.Reconcile(targets, everything, "", namespaced{}), config, config, offline{}, "",
		sync.WithLogr(log), sync.WithPrune(true), sync.WithPruneLast(c.PruneLast), sync.WithSkipDryRunOnMissingResource(true))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		args, ok := recover().(string)
		if !ok || !strings.Contains(args, told) {
			t.Fatalf("%s: the engine did not tell its tasks: %v", c.Name, args)
		}
		for _, part := range printed.FindAllStringSubmatch(args, -1) {
			wave, err := strconv.Atoi(part[2])
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, task{phase: part[1], wave: wave, id: part[3]})
		}
	}()
	engine.Sync()
	return nil
}

// nowhere is a cluster that serves nothing: the engine then takes what it is given as it is.
type nowhere struct{}

func (nowhere) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: request}, nil
}

type offline struct{ kube.Kubectl }

func (offline) ManageResources(*rest.Config) (kube.ResourceOperations, func(), error) {
	return nil, func() {}, nil
}

type namespaced struct{}

func (namespaced) IsNamespaced(schema.GroupKind) (bool, error) { return true, nil }
