package argo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers/template"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"github.com/argoproj/argo-cd/v3/applicationset/services/github_app_auth"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/git"
	"github.com/gosimple/slug"
	log "github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"slipway/reference/record/lines"
)

type appsetCase struct {
	Name           string
	ApplicationSet json.RawMessage
	Inputs         struct {
		GitFiles, GitLinks map[string]string
		Clusters           []struct {
			Name, Server        string
			Project             *string
			Labels, Annotations map[string]string
		}
		Projects       []string
		DoublestarGlob bool
		// What GitHub's API answers, by path.
		GitHub map[string]json.RawMessage
	}
}

func TestRecordAppset(t *testing.T) {
	log.SetLevel(log.PanicLevel)
	lines.Record(t, "appset", generated)
}

// generated is what GenerateApplications makes of a set, sorted by name, or that it fails; a panic is a failure, too.
func generated(t *testing.T, line []byte) (answer map[string]any) {
	c := lines.Decode[appsetCase](t, line)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/v3")
		if ref := r.URL.Query().Get("ref"); ref != "" {
			path += "?ref=" + ref
		}
		body, ok := c.Inputs.GitHub[path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	var set argo.ApplicationSet
	text := bytes.ReplaceAll(c.ApplicationSet, []byte("https://github.example"), []byte(server.URL))
	if err := json.Unmarshal(text, &set); err != nil {
		return refused("")
	}
	scheme := runtime.NewScheme()
	_, _ = argo.AddToScheme(scheme), corev1.AddToScheme(scheme)
	var objects []client.Object
	for _, name := range c.Inputs.Projects {
		objects = append(objects, &argo.AppProject{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "argocd"}})
	}
	for i, cluster := range c.Inputs.Clusters {
		labels := map[string]string{"argocd.argoproj.io/secret-type": "cluster"}
		maps.Copy(labels, cluster.Labels)
		data := map[string][]byte{"name": []byte(cluster.Name), "server": []byte(cluster.Server)}
		if cluster.Project != nil {
			data["project"] = []byte(*cluster.Project)
		}
		objects = append(objects, &corev1.Secret{Data: data, ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("c", i), Namespace: "argocd", Labels: labels, Annotations: cluster.Annotations,
		}})
	}
	cl := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	// What one set does to these, the next would find.
	slug.EnableSmartTruncate, slug.MaxLength, slug.CustomSub = true, 0, nil
	defer func() {
		if problem := recover(); problem != nil {
			answer = refused("")
		}
	}()
	scm := generators.NewSCMConfig("", nil, true, false, github_app_auth.Credentials(nil), false)
	all := generators.GetGenerators(context.Background(), cl, nil, "argocd", repository(t, c), nil, scm, nil)
	apps, reason, err := template.GenerateApplications(log.NewEntry(log.StandardLogger()), set, all, &utils.Render{}, cl)
	expected := []any{}
	slices.SortStableFunc(apps, func(a, b argo.Application) int { return strings.Compare(a.Name, b.Name) })
	for _, app := range apps {
		expected = append(expected, plain(t, app))
	}
	if err != nil {
		answer = refused(reason)
		answer["expected"] = expected
		return answer
	}
	return map[string]any{"expected": expected}
}

// refused is an answer without the error's text: of several errors Go's maps decide which comes first.
func refused(reason argo.ApplicationSetReasonType) map[string]any {
	return map[string]any{"error": true, "reason": reason, "expected": []any{}}
}

func plain(t *testing.T, app argo.Application) (fields map[string]any) {
	text, err := json.Marshal(app)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(fields, "status")
	return fields
}

// gitRepos is a repository on disk, read as the repo server reads it.
type gitRepos struct {
	root   string
	client git.Client
	new    bool
}

// Repositories by their files: many cases have the same.
var repositories = map[string]*gitRepos{}

func repository(t *testing.T, c appsetCase) *gitRepos {
	key, err := json.Marshal([]any{c.Inputs.GitFiles, c.Inputs.GitLinks})
	must(t, err)
	if known, ok := repositories[string(key)]; ok {
		return &gitRepos{known.root, known.client, c.Inputs.DoublestarGlob}
	}
	root := t.TempDir()
	for path, text := range c.Inputs.GitFiles {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	for path, target := range c.Inputs.GitLinks {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		must(t, os.Symlink(target, filepath.Join(root, path)))
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}} {
		command := exec.Command("git", args...)
		command.Dir = root
		must(t, command.Run())
	}
	cl, err := git.NewClientExt("https://example.com/repo.git", root, git.NopCreds{}, false, false, "", "")
	must(t, err)
	repositories[string(key)] = &gitRepos{root: root, client: cl}
	return &gitRepos{root, cl, c.Inputs.DoublestarGlob}
}

func must(t *testing.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (r *gitRepos) GetFiles(_ context.Context, _, _, _, pattern string, _ bool, _ *argo.SourceIntegrity) (map[string][]byte, error) {
	if pattern == "" {
		pattern = "."
	}
	paths, err := r.client.LsFiles(pattern, r.new)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[path], err = os.ReadFile(filepath.Join(r.root, path)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (r *gitRepos) GetDirectories(_ context.Context, _, _, _ string, _ bool, _ *argo.SourceIntegrity) (paths []string, err error) {
	err = filepath.WalkDir(r.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if relative, _ := filepath.Rel(r.root, path); relative != "." {
			paths = append(paths, relative)
		}
		return nil
	})
	return paths, err
}
