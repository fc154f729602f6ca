package runs

import (
	"encoding/json"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/workers"
)

// kind is how runs are printed.
var kind = output.Kind[*workers.Run]{
	Columns: []output.Column[*workers.Run]{
		{Title: "RUN", Text: func(r *workers.Run) string { return r.Run }},
		{Title: "JOB", Text: func(r *workers.Run) string { return screen.JobName(r.Job) }},
		{Title: "SERVICE", Text: func(r *workers.Run) string { return r.Service }},
		{Title: "FINISHED", Text: finished},
		{Title: "OUTCOME", Text: func(r *workers.Run) string { return r.Outcome }},
		{Title: "TRY", Text: func(r *workers.Run) string { return try(workers.ActiveRun{Attempt: r.Attempt}) }},
		{Title: "LATE", Text: late},
		{Title: "TOOK", Text: took},
		{Title: "CHANNEL", Wide: true, Text: func(r *workers.Run) string { return r.Channel }},
		{Title: "WORKER", Wide: true, Text: func(r *workers.Run) string { return r.Worker }},
		{Title: "OUTPUT", Wide: true, Text: func(r *workers.Run) string { return r.Output }},
		{Title: "ERROR", Text: func(r *workers.Run) string { return r.Error }},
	},
	Name: func(r *workers.Run) string { return r.Run },
	JSON: func(r *workers.Run) ([]byte, error) { return json.Marshal(r) },
}

func finished(r *workers.Run) string {
	if r.Finished.IsZero() { // it is under way
		return "-"
	}
	return clock.Show(r.Finished, time.Now())
}

func took(r *workers.Run) string {
	switch {
	case r.Finished.IsZero() && r.Started.IsZero():
		return "-"
	case r.Finished.IsZero():
		return screen.Short(time.Since(r.Started))
	}
	return screen.Short(r.Duration())
}

func late(r *workers.Run) string {
	if r.Due.IsZero() {
		return "-"
	}
	return screen.Short(r.Lateness())
}
