// Package processtest lets tests run the built binaries as processes.
package processtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
)

// Build builds the command in the directory dir, with the race detector when
// the test has it, and gives the binary's path and how to be rid of it.
func Build(dir string) (binary string, remove func(), err error) {
	to, err := os.MkdirTemp("", "bellhop")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(to) } // it is in the temporary directory
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", remove, err
	}
	binary = filepath.Join(to, filepath.Base(path))
	args := []string{"build", "-o", binary}
	if race() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, dir)...).CombinedOutput()
	if err != nil {
		return "", remove, fmt.Errorf("build %s: %w\n%s", dir, err, out)
	}
	return binary, remove, nil
}

// race tells whether this test was built with the race detector.
func race() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
