package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// The modes of the servers that a bench starts.
const (
	Relaxed = "relaxed" // one server that syncs to disk by interval
	Durable = "durable" // one that syncs every write
	R3      = "r3"      // three on this machine, and as many copies of everything
	Outside = "outside" // somebody else's server, as it is
)

// Env is what a bench runs in: one mode, and how much of it.
type Env struct {
	Mode string
	// Full asks for the full sizes, see Size.
	Full bool
	// Seed is what whatever is random begins with.
	Seed uint64

	scale    float64 // of all sizes; tests make it small
	dir      string  // for the servers' files
	profiles string  // directory for CPU profiles, empty for none
	config   config.Config
	screen   *progress
	rows     func(Row)
	bench    string
	amqp     string // URL of a broker, empty for a private one

	servers  []*Part
	urls     []string
	parts    []*Part // all that were started
	houses   []*House
	profiled []string // their files
}

// Progress says what is done now, for those who wait.
func (e *Env) Progress(format string, args ...any) {
	e.screen.say(e.bench + " " + e.Mode + ": " + fmt.Sprintf(format, args...))
}

// Report hands a row in. Its bench and mode are filled in.
func (e *Env) Report(r Row) {
	r.Bench, r.Mode = e.bench, e.Mode
	e.rows(r)
}

// Size chooses how many: of the quick set or of the full one.
func (e *Env) Size(quick, full int) int {
	n := quick
	if e.Full {
		n = full
	}
	return max(1, int(float64(n)*e.scale))
}

// tiny says that nobody looks at the figures: a test does.
func (e *Env) tiny() bool { return e.scale < 0.01 }

// Runs is how often each thing is measured.
func (e *Env) Runs() int {
	switch {
	case e.tiny():
		return 1
	case e.Full:
		return 5
	}
	return 3
}

// Compare measures both by turns, as often as Runs says, and gives a row of the
// case with the medians, the ratio and the samples; the caller adds what there
// is to say of the aim, and reports it.
func (e *Env) Compare(ctx context.Context, name, unit string, ours, raw func(context.Context) (Figure, error)) (Row, error) {
	r := Row{Case: name, Unit: unit}
	for i := range e.Runs() {
		var s Sample
		var err error
		e.Progress("%s, run %d of %d, Bellhop", name, i+1, e.Runs())
		if s.Bellhop, err = bounded(ctx, ours); err != nil {
			return r, fmt.Errorf("%s: Bellhop: %w", name, err)
		}
		e.Progress("%s, run %d of %d, raw", name, i+1, e.Runs())
		if s.Raw, err = bounded(ctx, raw); err != nil {
			return r, fmt.Errorf("%s: raw: %w", name, err)
		}
		r.Samples = append(r.Samples, s)
	}
	r.settle()
	return r, nil
}

// runPatience is how long one run may take: something is lost, and would be waited
// for in vain.
const runPatience = 5 * time.Minute

// bounded measures once, not for ever.
func bounded(ctx context.Context, measure func(context.Context) (Figure, error)) (Figure, error) {
	within, cancel := context.WithTimeout(ctx, runPatience)
	defer cancel()
	f, err := measure(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return f, fmt.Errorf("it was not over within %v", runPatience)
	}
	return f, err
}

// settle fills in the medians of the samples.
func (r *Row) settle() {
	r.Runs = len(r.Samples)
	r.Bellhop = median(r.Samples, func(s Sample) Figure { return s.Bellhop })
	r.Raw = median(r.Samples, func(s Sample) Figure { return s.Raw })
	r.Ratio = 0
	if r.Raw.Value > 0 {
		r.Ratio = r.Bellhop.Value / r.Raw.Value
	}
}

// Judge says what the aim is and whether it is met.
func (r *Row) Judge(aim string, met bool) {
	r.Aim, r.Met = aim, &met
}

// median takes each field's own.
func median(samples []Sample, of func(Sample) Figure) Figure {
	pick := func(field func(Figure) float64) float64 {
		var all []float64
		for _, s := range samples {
			all = append(all, field(of(s)))
		}
		if len(all) == 0 {
			return 0
		}
		slices.Sort(all)
		if mid := len(all) / 2; len(all)%2 == 0 {
			return (all[mid-1] + all[mid]) / 2
		}
		return all[len(all)/2]
	}
	return Figure{
		Value: pick(func(f Figure) float64 { return f.Value }),
		P50:   pick(func(f Figure) float64 { return f.P50 }),
		P99:   pick(func(f Figure) float64 { return f.P99 }),
		Max:   pick(func(f Figure) float64 { return f.Max }),
		CPU:   pick(func(f Figure) float64 { return f.CPU }),

		Server: pick(func(f Figure) float64 { return f.Server }),
	}
}

// profile names the file for the next profile of a part, empty where there is
// to be none.
func (e *Env) profile(part string) string {
	if e.profiles == "" || !slices.Contains([]string{"scheduler", "worker", "bridge"}, part) {
		return ""
	}
	path := filepath.Join(e.profiles, fmt.Sprintf("%s-%s-%s-%d.pprof", e.bench, e.Mode, part, len(e.profiled)+1))
	e.profiled = append(e.profiled, path)
	return path
}

// close ends all that the bench has started and removes what it has left.
func (e *Env) close(ctx context.Context) error {
	var errs []error
	for _, h := range e.houses {
		errs = append(errs, h.Close(ctx))
	}
	for _, p := range e.parts {
		if !slices.Contains(e.servers, p) {
			p.Kill()
		}
	}
	for _, p := range e.servers {
		p.Kill()
	}
	for _, path := range e.profiled { // whoever is killed leaves an empty one
		if info, err := os.Stat(path); err == nil && info.Size() == 0 {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(e.dir, e.bench+"-"+e.Mode)))...)
}
