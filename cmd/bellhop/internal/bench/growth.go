package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// growthBench: whether a trigger costs the same however much there is.
var growthBench = Bench{
	Name:  "growth",
	About: "Processor time that a trigger costs the scheduler, at one rate, as jobs grow and as workers grow; raw: publish at that rate",
	Quick: 25 * time.Second,
	Full:  3 * time.Minute,
	Run:   runGrowth,
}

// growthRate is how many triggers a second there are.
const growthRate = 5_000

func runGrowth(ctx context.Context, e *Env) error {
	if err := growJobs(ctx, e); err != nil {
		return err
	}
	return growWorkers(ctx, e)
}

// rotation is a period of which each house, and at the end the raw publisher, has
// a slot of its own: so that all of them are measured by turns, with what else
// there is idle.
type rotation struct {
	e     *Env
	slot  time.Duration
	slots int
	due   int // triggers in a slot
}

func (e *Env) rotation(houses int) rotation {
	r := rotation{e: e, slot: 800 * time.Millisecond, slots: houses + 1}
	switch {
	case e.tiny():
		r.slot = 300 * time.Millisecond
	case e.Full:
		r.slot = 2 * time.Second
	}
	r.due = max(20, int(growthRate*e.scale*r.slot.Seconds()))
	return r
}

func (r rotation) grid() grid { return grid{r.slot * time.Duration(r.slots)} }

// load loads n jobs, of which those of the slot are due.
func (r rotation) load(ctx context.Context, h *House, n, slot int) error {
	anchor := r.grid().anchor().Add(time.Duration(slot) * r.slot)
	_, err := h.Load(ctx, max(n, r.due), func(i int) Job {
		if i >= r.due {
			return Job{Every: farAway, Anchor: anchor, Size: definitionSize}
		}
		// The last tenth of a slot is left to what is late.
		at := anchor.Add(r.slot * 9 / 10 * time.Duration(i) / time.Duration(r.due))
		return Job{Every: r.grid().period, Anchor: at, Payload: payload, Policy: `"history":"none"`}
	})
	return err
}

// measure lets the period come round as often as Runs says. It gives what each
// trigger has cost of the processor time of each house's scheduler, and what each
// raw message.
func (r rotation) measure(ctx context.Context, all []*growing, raw *meter) (theirs []Figure, err error) {
	start := r.grid().next(100 * time.Millisecond)
	for i := range r.e.Runs() {
		r.e.Progress("run %d of %d", i+1, r.e.Runs())
		at := start.Add(time.Duration(i) * r.grid().period)
		for slot, g := range all {
			if err := r.ring(ctx, g, at.Add(time.Duration(slot)*r.slot)); err != nil {
				return nil, err
			}
		}
		if !pause(ctx, time.Until(at.Add(time.Duration(len(all))*r.slot))) {
			return nil, ctx.Err()
		}
		f, err := r.publish(ctx, raw)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, f)
	}
	return theirs, nil
}

// ring measures a house in its slot.
func (r rotation) ring(ctx context.Context, g *growing, begin time.Time) error {
	if !pause(ctx, time.Until(begin)) {
		return ctx.Err()
	}
	counted, err := g.log.state(ctx, g.stream)
	if err != nil {
		return err
	}
	if err := g.log.meter.begin(ctx); err != nil {
		return err
	}
	if !pause(ctx, time.Until(begin.Add(r.slot*19/20))) {
		return ctx.Err()
	}
	now, err := g.log.state(ctx, g.stream)
	if err != nil {
		return err
	}
	n := now.count - counted.count
	if n == 0 {
		return fmt.Errorf("nothing was rung within %v", r.slot)
	}
	var f Figure
	if err := g.log.meter.end(ctx, int(n), &f); err != nil {
		return err
	}
	g.figures = append(g.figures, Figure{Value: f.CPU})
	return nil
}

// publish measures the raw publisher, up to when the next slot begins.
func (r rotation) publish(ctx context.Context, raw *meter) (Figure, error) {
	if err := raw.begin(ctx); err != nil {
		return Figure{}, err
	}
	n := r.due * 7 / 10
	var done published
	if err := raw.parts[0].Ask(ctx, fmt.Sprint(n, " ", int(float64(r.due)/r.slot.Seconds())), &done); err != nil {
		return Figure{}, err
	}
	var f Figure
	err := raw.end(ctx, n, &f)
	return Figure{Value: f.CPU}, err
}

// growJobs has more and more jobs.
func growJobs(ctx context.Context, e *Env) error {
	cases := []growthCase{{jobs: e.Size(10_000, 10_000)}, {jobs: e.Size(100_000, 100_000)}}
	if e.Full {
		cases = append(cases, growthCase{jobs: e.Size(1_000_000, 1_000_000)})
	}
	return grow(ctx, e, cases, func(c growthCase) string { return fmt.Sprintf("%d jobs", c.jobs) })
}

// growWorkers has more and more workers.
func growWorkers(ctx context.Context, e *Env) error {
	var cases []growthCase
	for n := 1; n <= 4; n *= 2 {
		cases = append(cases, growthCase{jobs: e.Size(10_000, 10_000), workers: n})
	}
	return grow(ctx, e, cases, func(c growthCase) string {
		if c.workers == 1 {
			return "1 worker process"
		}
		return fmt.Sprintf("%d worker processes", c.workers)
	})
}

// growthCase is how much there is of each.
type growthCase struct{ jobs, workers int }

// growing is a case's house.
type growing struct {
	house     *House
	scheduler *Part
	log       *storing
	stream    jetstream.Stream
	figures   []Figure
}

// grow has a house for each case, which ring by turns.
func grow(ctx context.Context, e *Env, cases []growthCase, name func(growthCase) string) error {
	r := e.rotation(len(cases))
	var all []*growing
	for slot, c := range cases {
		g, err := r.start(ctx, c, slot)
		if err != nil {
			return err
		}
		all = append(all, g)
	}
	raw, err := all[0].house.startRaw(ctx, 0)
	if err != nil {
		return err
	}
	theirs, err := r.measure(ctx, all, all[0].house.meter(raw.publisher))
	if err != nil {
		return err
	}
	var first Figure
	for i, g := range all {
		first = e.reportGrowth(name(cases[i]), "that with "+name(cases[0]), first, g.figures, theirs)
	}
	for _, g := range all {
		if err := g.house.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts all that a case has.
func (r rotation) start(ctx context.Context, c growthCase, slot int) (g *growing, err error) {
	g = &growing{}
	if g.house, err = r.e.House(ctx); err != nil {
		return nil, err
	}
	if err := r.load(ctx, g.house, c.jobs, slot); err != nil {
		return nil, err
	}
	if g.scheduler, _, err = g.house.startBoth(ctx, c.workers, WorkerOptions{}); err != nil {
		return nil, err
	}
	ns := g.house.Namespace
	g.log = &storing{house: g.house, stream: ns.TriggersStream(), subject: ns.TriggerSubject(Service), meter: g.house.meter(g.scheduler)}
	g.stream, err = g.house.JS.Stream(ctx, ns.TriggersStream())
	return g, err
}

// reportGrowth reports one size, and gives the first one's figure.
func (e *Env) reportGrowth(name, than string, first Figure, ours, raw []Figure) Figure {
	row := Row{Case: name, Unit: "µs CPU"}
	for i := range ours {
		row.Samples = append(row.Samples, Sample{ours[i], raw[i]})
	}
	row.settle()
	if first == (Figure{}) {
		e.Report(row)
		return row.Bellhop
	}
	grown := row.Bellhop.Value / first.Value
	row.Judge("at most 10% more", grown <= 1.1)
	row.Note = fmt.Sprintf("%.2f of %s", grown, than)
	e.Report(row)
	return first
}
