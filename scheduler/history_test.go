package scheduler_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// past is what was asked for, and when, and what was answered: all that the
// oracle knows. Times are unix ms.
type past struct {
	*crew
	triggers jetstream.Stream
	bucket   jetstream.KeyValue
	versions []*version
}

// grid is a schedule as the oracle sees it: every so many ms from the origin
// on, or once.
type grid struct{ origin, every int64 }

func (g grid) holds(due int64) bool {
	if g.every == 0 {
		return due == g.origin
	}
	return due >= g.origin && (due-g.origin)%g.every == 0
}

// version is one definition of a job: who asked for it and who ended it.
type version struct {
	job, payload string
	grid         grid
	max          int64
	began, ended moment
}

// moment is a change: asked for and acknowledged at these times. The log's
// last sequence is from right after the acknowledgement.
type moment struct {
	asked, acked int64
	seq          uint64
}

var never = moment{math.MaxInt64, math.MaxInt64, math.MaxUint64}

func newPast(c *crew) *past {
	c.leader()
	p := &past{crew: c}
	var err error
	p.triggers, err = c.js.Stream(c.Context(), "bellhop-triggers")
	c.ok(err)
	p.bucket, err = c.js.KeyValue(c.Context(), "bellhop-jobs")
	c.ok(err)
	return p
}

// play is the history.
func (p *past) play() {
	ms := func(n int) { time.Sleep(time.Duration(n) * time.Millisecond) }
	ms(137)
	p.create("tick", every("100ms"), "tick 1")
	p.create("cron", func() string { return `{"cron":"* * * * * *"}` }, "cron 1")
	p.create("once", soon, "once 1")
	p.create("three", func() string { return `{"every":"150ms","max_runs":3}` }, "three 1")
	ms(450)
	p.edit("tick", `"payload":"tick 2"`)
	p.create("gone", every("90ms"), "gone 1")
	ms(250)
	p.deactivate("gone")
	p.edit("tick", `"schedule":{"every":"250ms"},"payload":"tick 3"`)
	ms(210)
	p.activate("gone")
	p.await("once")
	p.await("three")
	p.stranger()
	ms(200)

	p.scissors.lag.Store(int64(400 * time.Millisecond))
	p.edit("tick", `"payload":"tick 4"`)
	p.deactivate("cron")
	ms(100)
	p.delete("gone")
	ms(300)
	p.create("later", soon, "later 1")
	p.scissors.lag.Store(0)

	p.handOver()
	p.activate("three")
	p.activate("cron")
	ms(330)
	p.delete("tick")
	p.await("later")
	p.await("three")
	ms(3500) // for whoever has to take over
	p.await("three")
	p.deactivate("cron")
}

func every(d string) func() string {
	return func() string { return fmt.Sprintf(`{"every":%q}`, d) }
}

func soon() string {
	return fmt.Sprintf(`{"at":%q}`, time.Now().Add(330*time.Millisecond).Format(time.RFC3339Nano))
}

// ask carries out a verb, again and again until it is acknowledged or found
// done.
func (p *past) ask(verb string, body func() string) moment {
	p.Helper()
	m := moment{asked: time.Now().UnixMilli()}
	for try := 1; ; try++ {
		r, err := p.nc.Request("bellhop.jobs."+verb, []byte(body()), time.Second)
		if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) {
			if verb == "activate" && p.activatedSince(body(), m.asked) {
				break // asked again, it would count from zero again
			}
			time.Sleep(20 * time.Millisecond)
			continue
		}
		p.ok(err)
		code := r.Header.Get("Nats-Service-Error-Code")
		done := code == "" || try > 1 && (verb == "create" && code == "409" || verb == "delete" && code == "404")
		if done {
			break
		}
		if code != "503" {
			p.Fatalf("%s %s: %s", verb, body(), r.Data)
		}
	}
	m.acked = time.Now().UnixMilli()
	info, err := p.triggers.Info(p.Context())
	p.ok(err)
	m.seq = info.State.LastSeq
	return m
}

// activatedSince tells whether the job that a request names was activated at
// that time or later.
func (p *past) activatedSince(request string, asked int64) bool {
	var r struct{ Name string }
	p.ok(json.Unmarshal([]byte(request), &r))
	j, ok := p.stored(r.Name)
	return ok && j.Activated.UnixMilli() >= asked
}

// begin notes a version that was asked for, as it is stored.
func (p *past) begin(name string, at moment) {
	j, ok := p.stored(name)
	if !ok {
		p.Fatalf("%s is not there", name)
	}
	v := &version{job: name, began: at, ended: never, max: j.Schedule.MaxRuns}
	p.ok(json.Unmarshal(j.Payload, &v.payload))
	switch {
	case !j.Schedule.At.IsZero():
		v.grid = grid{origin: j.Schedule.At.UnixMilli()}
	case j.Schedule.Cron != "":
		v.grid = grid{every: 1000}
	default:
		d := time.Duration(j.Schedule.Every).Milliseconds()
		v.grid = grid{j.Anchor.UnixMilli() + d, d}
	}
	p.versions = append(p.versions, v)
}

// end notes that the present version of a job has ended.
func (p *past) end(name string, at moment) {
	for _, v := range p.versions {
		if v.job == name && v.ended == never {
			v.ended = at
		}
	}
}

func (p *past) stored(name string) (scheduler.Job, bool) {
	var j scheduler.Job
	e, err := p.bucket.Get(p.Context(), name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return j, false
	}
	p.ok(err)
	p.ok(json.Unmarshal(e.Value(), &j))
	return j, true
}

func (p *past) create(name string, schedule func() string, payload string) {
	p.Helper()
	p.begin(name, p.ask("create", func() string {
		return fmt.Sprintf(`{"name":%q,"service":"svc","schedule":%s,"payload":%q}`, name, schedule(), payload)
	}))
}

func (p *past) edit(name, fields string) {
	p.Helper()
	at := p.ask("update", func() string { return fmt.Sprintf(`{"name":%q,%s}`, name, fields) })
	p.end(name, at)
	p.begin(name, at)
}

func (p *past) activate(name string) {
	p.Helper()
	now := time.Now().UnixMilli()
	p.end(name, moment{now, now, math.MaxUint64}) // where it has ended by itself
	p.begin(name, p.ask("activate", named(name)))
}

func (p *past) deactivate(name string) { p.Helper(); p.end(name, p.ask("deactivate", named(name))) }
func (p *past) delete(name string)     { p.Helper(); p.end(name, p.ask("delete", named(name))) }

func named(name string) func() string {
	return func() string { return fmt.Sprintf(`{"name":%q}`, name) }
}

// await waits until a job has come to its end by itself.
func (p *past) await(name string) {
	p.Helper()
	for range 1000 {
		if j, ok := p.stored(name); !ok || !j.Enabled() {
			if ok && j.Reason != scheduler.ReasonCompleted && j.Reason != scheduler.ReasonMissed {
				p.Fatalf("%s has ended with reason %q", name, j.Reason)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.Fatalf("%s does not end", name)
}

// stranger writes into the log.
func (p *past) stranger() {
	p.Helper()
	for {
		_, err := p.js.Publish(p.Context(), "bellhop.trigger.x", []byte("from a stranger"))
		if err == nil {
			return
		}
		p.Log(err)
	}
}
