package bench

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats-server/v2/server"
)

// Machine is where and with what it was measured.
type Machine struct {
	Cores   int       `json:"cores"`
	CPU     string    `json:"cpu,omitempty"`
	OS      string    `json:"os"`
	Go      string    `json:"go"`
	Server  string    `json:"nats_server"`
	Bellhop string    `json:"bellhop"`
	Date    time.Time `json:"date"`
}

// machine describes this one.
func machine(now time.Time) Machine {
	return Machine{
		Cores: runtime.NumCPU(), CPU: cpuModel(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Server: server.VERSION, Bellhop: workers.Version, Date: now.UTC().Truncate(time.Second),
	}
}

// String is the heading of a table.
func (m Machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = "an unnamed CPU"
	}
	return fmt.Sprintf("%d cores of %s, %s, %s, nats-server %s, Bellhop %s, %s",
		m.Cores, cpu, m.OS, m.Go, m.Server, m.Bellhop, m.Date.Format(time.RFC3339))
}

// cpuModel is what Linux calls the processor; empty elsewhere.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
