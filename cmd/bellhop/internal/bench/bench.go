// Package bench measures what a machine and its NATS can carry: Bellhop's figures
// beside those of the raw platform, in the same run.
//
//	bellhop bench ──► House: 1 or 3 server processes, a namespace of its own
//	      │                              ▲            ▲
//	      ├──► Part "scheduler", "worker"┘            │   Bellhop's figure
//	      └──► Part "publish", "consume" … ───────────┘   the raw one
//
// Whatever is measured is a process of its own: this same executable, told by a
// hidden command which part to be. A part ends with its parent, however that ends.
// A Bench reports Rows; what is compared is measured by turns (Env.Compare), so
// that what else the machine does hits both.
package bench

import (
	"context"
	"time"
)

// Bench is one thing that is measured.
type Bench struct {
	// Name is what it is asked for by, About what it measures, in a sentence.
	Name, About string
	// Quick and Full are how long it takes at about, on two cores, for one mode:
	// a bench for which there is no time left is not begun.
	Quick, Full time.Duration
	// Own says why it cannot be run on a server that is not the bench's own,
	// empty if it can.
	Own string
	// Run measures, and reports its rows as it has them.
	Run func(context.Context, *Env) error
}

// All gives every bench, in the order in which they run.
func All() []Bench {
	return []Bench{
		appendBench,
		steadyBench,
		burstBench,
		memoryBench,
		coldBench,
		failoverBench,
		growthBench,
		runBench,
		createBench,
		amqpBench,
	}
}

// Row is what came of one case of a bench.
type Row struct {
	Bench string `json:"bench"`
	Case  string `json:"case"`
	Mode  string `json:"mode"`
	// Unit is that of both figures.
	Unit string `json:"unit,omitempty"`
	// Bellhop and Raw are the medians of the runs.
	Bellhop Figure `json:"bellhop"`
	Raw     Figure `json:"raw"`
	// Ratio is Bellhop's value over the raw one.
	Ratio float64 `json:"ratio,omitempty"`
	// Aim is what it should be, in words; Met whether it is, nil where there is
	// none.
	Aim string `json:"aim,omitempty"`
	Met *bool  `json:"met,omitempty"`
	// Runs is how many there were of each.
	Runs int `json:"runs"`
	// Note is what else there is to know: why it was skipped, for example.
	Note string `json:"note,omitempty"`
	// Samples are the runs themselves, in their order.
	Samples []Sample `json:"samples,omitempty"`
}

// Figure is what was measured: a value, and where it is of a latency how it is
// distributed, in the same unit. Its value is then P50.
type Figure struct {
	Value float64 `json:"value"`
	P50   float64 `json:"p50,omitempty"`
	P99   float64 `json:"p99,omitempty"`
	Max   float64 `json:"max,omitempty"`
	// CPU is what it cost each message in microseconds of processor time, of the
	// processes measured and without the server's; 0 where it was not measured.
	CPU float64 `json:"cpu_us,omitempty"`
	// Server is what it cost the servers.
	Server float64 `json:"server_cpu_us,omitempty"`
}

// Sample is one run of both.
type Sample struct {
	Bellhop Figure `json:"bellhop"`
	Raw     Figure `json:"raw"`
}
