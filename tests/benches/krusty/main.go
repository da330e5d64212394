// Renders every folder named on standard input as kubectl kustomize does, in one process, and prints for each the
// nanoseconds from files on disk to YAML in memory, and last `peak KIBIBYTES`.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	log.SetOutput(io.Discard)
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = null
	}
	roots := bufio.NewScanner(os.Stdin)
	for roots.Scan() {
		start := time.Now()
		options := krusty.MakeDefaultOptions()
		options.Reorder = krusty.ReorderOptionLegacy
		resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), roots.Text())
		if err == nil {
			_, err = resources.AsYaml()
		}
		if err != nil {
			fmt.Println("failed", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println(time.Since(start).Nanoseconds())
	}
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM:") {
			fmt.Println("peak", strings.Fields(line)[1])
		}
	}
}
