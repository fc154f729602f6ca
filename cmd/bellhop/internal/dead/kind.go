package dead

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/workers"
)

// kind is how letters are printed.
var kind = output.Kind[*workers.Letter]{
	Columns: []output.Column[*workers.Letter]{
		{Title: "ID", Text: name},
		{Title: "SERVICE", Text: func(l *workers.Letter) string { return l.Service }},
		{Title: "JOB", Text: func(l *workers.Letter) string { return screen.JobName(l.Job) }},
		{Title: "DIED", Text: func(l *workers.Letter) string { return clock.Show(l.Time, time.Now()) }},
		{Title: "TRIES", Text: func(l *workers.Letter) string { return strconv.Itoa(l.Attempts) }},
		{Title: "BYTES", Wide: true, Text: func(l *workers.Letter) string { return strconv.Itoa(l.Size) }},
		{Title: "CHANNEL", Wide: true, Text: func(l *workers.Letter) string { return l.Channel }},
		{Title: "RUN", Wide: true, Text: func(l *workers.Letter) string { return l.Run }},
		{Title: "PARENT", Wide: true, Text: func(l *workers.Letter) string { return l.Parent }},
		{Title: "TARGET", Wide: true, Text: func(l *workers.Letter) string { return l.Target }},
		{Title: "PLACE", Wide: true, Text: func(l *workers.Letter) string { return l.Place }},
		{Title: "REASON", Text: func(l *workers.Letter) string { return l.Reason }},
	},
	Name: name,
	JSON: func(l *workers.Letter) ([]byte, error) { return json.Marshal(l) },
}

func name(l *workers.Letter) string { return strconv.FormatUint(l.ID, 10) }
