// Package argo asks Argo CD's code what it makes of our cases: as tests, because only these may set the clock (testing/synctest).
package argo

import (
	"encoding/json"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/hook"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/syncwaves"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway/reference/record/lines"
)

func TestRecord(t *testing.T) {
	t.Setenv("TZ", "UTC")
	lines.Record(t, "health", verdict)
	lines.Record(t, "hooks", annotated)
	lines.Record(t, "sync-tasks", ordered)
	lines.Record(t, "project", permitted)
}

func verdict(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[struct {
		Name   string
		Object json.RawMessage
	}](t, line)
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(c.Object); err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	// An error is in the verdict as well.
	status, _ := health.GetResourceHealth(object, lua.ResourceHealthOverrides{})
	if status == nil {
		return map[string]any{"status": nil}
	}
	return map[string]any{"status": status.Status, "message": status.Message}
}

func annotated(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[struct {
		Name        string
		Annotations map[string]string
	}](t, line)
	job := object("batch/v1", "Job", "", "job", c.Annotations)
	phases := []string{}
	for _, task := range tasks(t, syncCase{}, []*unstructured.Unstructured{job}, nil) {
		phases = append(phases, task.phase)
	}
	types, policies := []string{}, []string{}
	for _, hookType := range hook.Types(job) {
		types = append(types, string(hookType))
	}
	for _, policy := range hook.DeletePolicies(job) {
		policies = append(policies, string(policy))
	}
	return map[string]any{
		"isHook": hook.IsHook(job), "skip": hook.Skip(job), "types": types, "phases": phases,
		"deletePolicies": policies, "wave": syncwaves.Wave(job),
	}
}

func object(apiVersion, kind, namespace, name string, annotations map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetAnnotations(annotations)
	return o
}
