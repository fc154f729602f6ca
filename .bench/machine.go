package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Machine is where and with what was measured.
type Machine struct {
	Date     string   `json:"date"`
	Cores    int      `json:"cores"`
	CPU      string   `json:"cpu"`
	Memory   string   `json:"memory"`
	System   string   `json:"system"`
	Versions []string `json:"versions"`
}

// modules are those whose versions matter.
var modules = []string{
	"github.com/nats-io/nats.go", "github.com/hibiken/asynq", "github.com/riverqueue/river",
	"github.com/jackc/pgx/v5", "github.com/go-co-op/gocron/v2",
}

// thisMachine looks around.
func thisMachine(ctx context.Context) Machine {
	m := Machine{
		Date:     time.Now().UTC().Format(time.DateOnly),
		Cores:    runtime.NumCPU(),
		CPU:      line("/proc/cpuinfo", `(?m)^model name\s*: (.*)$`, runtime.GOARCH),
		Memory:   "unknown",
		System:   line("/etc/os-release", `(?m)^PRETTY_NAME="?([^"\n]*)`, runtime.GOOS),
		Versions: []string{runtime.Version(), "nats-server " + server.VERSION},
	}
	if kib, err := strconv.Atoi(line("/proc/meminfo", `(?m)^MemTotal:\s*(\d+) kB`, "")); err == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	}
	if v := says(ctx, "redis-server", `v=(\S+)`); v != "" {
		m.Versions = append(m.Versions, "redis-server "+v)
	}
	if bin, err := postgresBin(); err == nil {
		if v := says(ctx, filepath.Join(bin, "postgres"), `PostgreSQL\) (\S+)`); v != "" {
			m.Versions = append(m.Versions, "PostgreSQL "+v)
		}
	}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return m
	}
	for _, path := range modules {
		for _, dep := range info.Deps {
			if dep.Path == path {
				m.Versions = append(m.Versions, strings.TrimPrefix(path, "github.com/")+" "+dep.Version)
			}
		}
	}
	return m
}

// line gives what the pattern's group matches in a file.
func line(path, pattern, otherwise string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return otherwise
	}
	if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
		return strings.TrimSpace(string(m[1]))
	}
	return otherwise
}

// says gives what the pattern's group matches in what a program says of its
// version.
func says(ctx context.Context, program, pattern string) string {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return ""
	}
	if m := regexp.MustCompile(pattern).FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return ""
}
