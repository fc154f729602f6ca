package up

import (
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// greeting is what up says once everything runs: what runs where, which jobs
// the demo has, and, last, the next command to type.
type greeting struct {
	config   config.Config
	command  string // how this program was called
	server   string // where clients connect
	dir      string // of the embedded server, "" if there is none
	http     string // URL, "" if there is none
	shut     bool   // it rings no services
	services []string
	demo     []scheduler.Job
}

func (g greeting) String() string {
	var b strings.Builder
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-9s %s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "Bellhop %s\n\n", workers.Version)
	if g.dir != "" {
		row("NATS", "%s, embedded", g.server)
		row("data", "%s, synced %s", g.dir, synced(g.config.Sync))
	} else {
		row("NATS", "%s", g.server)
	}
	if g.http != "" {
		row("HTTP", "%s with the dashboard, /api/v1, /healthz and /metrics", g.http)
		if g.shut {
			row("", "nobody is let in there: %s", web.ShutHint)
		} else {
			row("", "POST /services/NAME rings, GET /runs/ID tells")
		}
	}
	row("services", "%s", strings.Join(g.services, ", "))
	for i, job := range g.demo {
		what := "jobs"
		if i > 0 {
			what = ""
		}
		row(what, "%-14s %-16s rings %s", job.Name, when(job.Schedule), job.Service)
	}
	b.WriteString("\nEach run is a line: due, lateness, job, service, outcome, duration. Ctrl-C stops.\n")
	b.WriteString("Make a job yourself, from another terminal:\n\n  ")
	b.WriteString(g.next())
	return b.String()
}

// next is a command that works as it stands.
func (g greeting) next() string {
	next := g.command + " job create Mine --service log-input --every 5s --payload hi"
	if g.server != config.DefaultURL {
		next += " --server " + g.server
	}
	if ns := g.config.Namespace.String(); ns != workers.DefaultNamespace {
		next += " --namespace " + ns
	}
	return next
}

func synced(s config.Sync) string {
	if s == 0 {
		return "at every write"
	}
	return "every " + s.String()
}

func when(s scheduler.Schedule) string {
	switch {
	case !s.At.IsZero():
		return "at " + s.At.Local().Format(time.TimeOnly)
	case s.Cron != "":
		return "cron " + s.Cron
	}
	return "every " + s.Every.String()
}
