package argo

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"slipway/reference/record/lines"
)

type cluster struct{ Server, Name string }

type projectCase struct {
	Name, Kind string
	Project    argo.AppProject

	// Kind permission: one of these.
	Check struct {
		Source      *struct{ RepoURL string }
		Destination *struct{ Server, Name, Namespace string }
		Resource    *struct {
			Group, Kind, Name string
			Namespaced        bool
		}
		LiveResource                      *struct{ Group, Kind, Name, Namespace string }
		Cluster                           cluster
		AppNamespace, ControllerNamespace *string
	}
	ProjectClusters []cluster

	// Kind syncWindow.
	App struct {
		Name        string
		Destination argo.ApplicationDestination
	}
	At                 time.Time
	OperationStartedAt *time.Time
}

func permitted(t *testing.T, line []byte) map[string]any {
	c := lines.Decode[projectCase](t, line)
	if c.Kind == "syncWindow" {
		return windows(t, c)
	}
	own := func(string) (clusters []*argo.Cluster, _ error) {
		for _, one := range c.ProjectClusters {
			clusters = append(clusters, &argo.Cluster{Server: one.Server, Name: one.Name})
		}
		return clusters, nil
	}
	var allowed bool
	var err error
	switch check := c.Check; {
	case check.Source != nil:
		allowed = c.Project.IsSourcePermitted(argo.ApplicationSource{RepoURL: check.Source.RepoURL})
	case check.Destination != nil:
		destination := &argo.Cluster{Server: check.Destination.Server, Name: check.Destination.Name}
		allowed, err = c.Project.IsDestinationPermitted(destination, check.Destination.Namespace, own)
	case check.Resource != nil:
		kind := schema.GroupKind{Group: check.Resource.Group, Kind: check.Resource.Kind}
		allowed = c.Project.IsGroupKindNamePermitted(kind, check.Resource.Name, check.Resource.Namespaced)
	case check.LiveResource != nil:
		live := check.LiveResource
		o := object(schema.GroupVersion{Group: live.Group, Version: "v1"}.String(), live.Kind, live.Namespace, live.Name, nil)
		allowed, err = c.Project.IsLiveResourcePermitted(o, &argo.Cluster{Server: check.Cluster.Server, Name: check.Cluster.Name}, own)
	case check.AppNamespace != nil:
		app := &argo.Application{}
		app.Namespace = *check.AppNamespace
		allowed = c.Project.IsAppNamespacePermitted(app, *check.ControllerNamespace)
	default:
		t.Fatalf("%s asks nothing", c.Name)
	}
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return map[string]any{"allowed": allowed}
}

func windows(t *testing.T, c projectCase) (answer map[string]any) {
	all := c.Project.Spec.SyncWindows
	places := func(some *argo.SyncWindows) []int {
		found := []int{}
		if some != nil {
			for _, window := range *some {
				found = append(found, slices.Index(all, window))
			}
		}
		return found
	}
	app := &argo.Application{}
	app.Name = c.App.Name
	app.Spec.Destination = c.App.Destination
	synctest.Test(t, func(*testing.T) {
		time.Sleep(time.Until(c.At))
		matching := all.Matches(app)
		// An error of either says that the windows are not valid: then nobody may sync.
		active, err := matching.Active()
		manual, manualErr := matching.CanSync(true, c.OperationStartedAt)
		auto, autoErr := matching.CanSync(false, c.OperationStartedAt)
		answer = map[string]any{
			"matching": places(matching), "active": places(active),
			"canSync": map[string]any{"manual": manual && manualErr == nil, "auto": auto && autoErr == nil},
		}
		if err != nil {
			answer["error"] = err.Error()
		}
	})
	return answer
}
