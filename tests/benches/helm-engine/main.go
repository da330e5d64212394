// Times Helm's own engine in process: `helm-engine CASES.json CHARTS ROUNDS` reads `chart` and `values` of each case and
// prints one line a case, the median of the rounds in nanoseconds, from files on disk to sorted manifests.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

type rendering struct {
	Chart  string  `json:"chart"`
	Values *string `json:"values"`
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(cases, charts, count string) error {
	text, err := os.ReadFile(cases)
	if err != nil {
		return err
	}
	var renderings []rendering
	if err := json.Unmarshal(text, &renderings); err != nil {
		return err
	}
	rounds, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for _, r := range renderings {
		times := make([]time.Duration, rounds)
		for i := range times {
			start := time.Now()
			if err := render(charts, r); err != nil {
				return fmt.Errorf("%s: %w", r.Chart, err)
			}
			times[i] = time.Since(start)
		}
		slices.Sort(times)
		fmt.Println(times[rounds/2].Nanoseconds())
	}
	return nil
}

func render(charts string, r rendering) error {
	dir := filepath.Join(charts, r.Chart)
	chart, err := loader.LoadDir(dir)
	if err != nil {
		return err
	}
	values := common.Values{}
	if r.Values != nil {
		if values, err = common.ReadValuesFile(filepath.Join(dir, *r.Values)); err != nil {
			return err
		}
	}
	if err := chartutil.ProcessDependencies(chart, values); err != nil {
		return err
	}
	caps := common.DefaultCapabilities.Copy()
	kube, err := common.ParseKubeVersion("1.33.0")
	if err != nil {
		return err
	}
	caps.KubeVersion = *kube
	options := common.ReleaseOptions{Name: "rel", Namespace: "ns1", Revision: 1, IsInstall: true}
	top, err := commonutil.ToRenderValues(chart, values, options, caps)
	if err != nil {
		return err
	}
	files, err := engine.Render(chart, top)
	if err != nil {
		return err
	}
	for name := range files {
		if path.Base(name) == "NOTES.txt" {
			delete(files, name)
		}
	}
	_, _, err = releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	return err
}
