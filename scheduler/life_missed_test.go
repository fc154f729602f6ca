package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

// missed tells of a job's missed stretches: from, to, how many.
func (h *house) missed(key string) []string {
	h.Helper()
	var list []string
	for _, r := range h.runs(key) {
		if r.Outcome != workers.OutcomeMissed || r.Missed == nil || r.Run != fmt.Sprintf("%s@%d", key, r.Missed.From.UnixMilli()) || r.Service == "" || r.Job != key {
			h.Errorf("%s: a record that is not of a missed stretch: %+v", key, r)
			continue
		}
		more := ""
		if r.Missed.More {
			more = " and more"
		}
		list = append(list, fmt.Sprintf("%s to %s: %d%s", r.Missed.From.Format("15:04:05"), r.Missed.To.Format("15:04:05"), r.Missed.Count, more))
	}
	return list
}

func (h *house) same(what string, got, want any) {
	h.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

// An hour without any scheduler: every policy, its triggers and its records.
func TestMissedHour(t *testing.T) {
	for _, end := range []string{"stopped", "killed"} {
		t.Run(end, func(t *testing.T) { inBubble(t, func(h *house) { missedHour(h, end == "killed") }) })
	}
}

func missedHour(h *house, killed bool) {
	e := h.lead(scheduler.Options{})
	for name, def := range map[string]string{
		"skip":      `"schedule":{"every":"10m","start":"2000-01-01T00:05:00Z"}`,
		"once":      `"missed":"once","schedule":{"every":"10m","start":"2000-01-01T00:05:00Z"}`,
		"all":       `"missed":"all","schedule":{"every":"10m","start":"2000-01-01T00:05:00Z"}`,
		"many":      `"missed":"all","schedule":{"every":"2s","start":"2000-01-01T00:10:00Z","end":"2000-01-01T00:59:58Z"}`, // 1,500
		"exactly":   `"missed":"all","schedule":{"every":"2s","start":"2000-01-01T00:10:00Z","end":"2000-01-01T00:43:18Z"}`, // 1,000
		"few":       `"missed":"all","schedule":{"every":"10m","start":"2000-01-01T00:05:00Z","max_runs":2}`,
		"cron":      `"missed":"once","schedule":{"cron":"20,40 * * * *"}`,
		"at":        `"schedule":{"at":"2000-01-01T00:30:00Z"}`,
		"at once":   `"missed":"once","schedule":{"at":"2000-01-01T00:31:00Z"}`,
		"at all":    `"missed":"all","schedule":{"at":"2000-01-01T00:32:00Z"}`,
		"ended":     `"schedule":{"every":"10m","start":"2000-01-01T00:05:00Z","end":"2000-01-01T00:50:00Z"}`,
		"untouched": `"schedule":{"at":"2000-01-01T02:00:00Z"}`,
		"off":       `"active":false,"schedule":{"every":"10m"}`,
		"onlyone":   `"missed":"once","schedule":{"every":"1h","start":"2000-01-01T00:30:00Z"}`,
	} {
		h.do("create", `{"name":"`+name+`","service":"s","payload":"p",`+def+`}`)
	}
	time.Sleep(time.Second)
	if killed {
		e.kill()
	} else {
		e.stop()
	}
	h.nc.Close()
	h.s.Down()
	h.until("2000-01-01T01:01:00Z")
	h.s.Up()
	h.nc = h.s.Connect()
	h.js = mustJS(h.T, h.nc)
	e = h.lead(scheduler.Options{Embedded: true})
	time.Sleep(2 * time.Second)
	e.stop()
	e = h.lead(scheduler.Options{Embedded: true}) // what was judged once stays so
	time.Sleep(time.Second)

	rings := h.rings()
	h.were(rings["skip"], "skip")
	h.same("skip", h.missed("skip"), []string{"00:05:00 to 00:55:00: 6"})
	h.were(rings["once"], "once", "00:05:00.000")
	h.same("once", h.missed("once"), []string{"00:15:00 to 00:55:00: 5"})
	h.were(rings["all"], "all", "00:05:00", "00:15:00", "00:25:00", "00:35:00", "00:45:00", "00:55:00")
	h.same("all", h.missed("all"), []string(nil))
	h.were(rings["few"], "few", "00:05:00", "00:15:00")
	h.inactive("few", "completed")
	h.were(rings["cron"], "cron", "00:20:00")
	h.same("cron", h.missed("cron"), []string{"00:40:00 to 00:40:00: 1"})
	h.were(rings["onlyone"], "onlyone", "00:30:00")
	h.same("onlyone", h.missed("onlyone"), []string(nil))
	h.were(rings["at"], "at")
	h.inactive("at", "missed")
	h.same("at", h.missed("at"), []string{"00:30:00 to 00:30:00: 1"})
	h.were(rings["at=20once"], "at=20once", "00:31:00")
	h.inactive("at once", "completed")
	h.were(rings["at=20all"], "at=20all", "00:32:00")
	h.inactive("at all", "completed")
	h.were(rings["ended"], "ended")
	h.inactive("ended", "expired")
	h.same("ended", h.missed("ended"), []string{"00:05:00 to 00:45:00: 5"})
	h.same("off", h.missed("off"), []string(nil))
	if many := rings["many"]; len(many) != 1000 || many[0] != "2000-01-01T00:10:00.000Z" || many[999] != "2000-01-01T00:43:18.000Z" {
		h.Errorf("many: %d runs, from %s to %s", len(many), many[0], many[len(many)-1])
	}
	h.same("many", h.missed("many"), []string{"00:43:20 to 00:59:58: 500"})
	h.inactive("many", "expired")
	if n := len(rings["exactly"]); n != 1000 {
		h.Errorf("exactly: %d runs", n)
	}
	h.same("exactly", h.missed("exactly"), []string(nil))

	r := h.get("untouched")
	if r.str("next") != "2000-01-01T02:00:00.000Z" {
		h.Errorf("untouched: %v", r)
	}
	h.same("untouched", h.missed("untouched"), []string(nil))
	h.do("activate", `{"name":"at","schedule":{"at":"2000-01-01T01:05:00Z"}}`)
	h.until("2000-01-01T01:06:00Z")
	rings = h.rings()
	h.were(rings["skip"], "skip", "01:05:00.000")
	h.were(rings["once"], "once", "00:05:00.000", "01:05:00.000")
	h.were(rings["at"], "at", "01:05:00.000")
	h.inactive("at", "completed")
	h.onceEach()
	e.stop()
}

// NATS goes away under a running scheduler: what falls due meanwhile fires
// late, as far as the grace goes back; what is older is missed.
func TestNATSAway(t *testing.T) {
	for _, c := range []struct {
		away   time.Duration
		fires  int // of the first 120
		missed int
	}{{3 * time.Second, 120, 0}, {9 * time.Second, 120, 0}, {60 * time.Second, 72, 48}} {
		t.Run(c.away.String(), func(t *testing.T) {
			inBubble(t, func(h *house) {
				e := h.lead(scheduler.Options{})
				h.do("create", `{"name":"tick","service":"s","schedule":{"every":"1s","start":"2000-01-01T00:00:01Z","end":"2000-01-01T00:02:00Z"}}`)
				h.do("create", `{"name":"all","service":"s","missed":"all","schedule":{"every":"1s","start":"2000-01-01T00:00:01Z","end":"2000-01-01T00:02:00Z"}}`)
				h.until("2000-01-01T00:00:20Z")
				time.Sleep(500 * time.Millisecond)
				h.s.Down()
				time.Sleep(c.away)
				h.s.Up()
				h.until("2000-01-01T00:02:05Z")
				missed := 0
				for _, r := range h.runs("tick") {
					missed += r.Missed.Count
				}
				fires := len(h.fired("tick"))
				if fires+missed != 120 || missed < c.missed || missed > c.missed+4 {
					t.Errorf("%d rang and %d were missed, want %d and %d", fires, missed, c.fires, c.missed)
				}
				if n := len(h.fired("all")); n != 120 {
					t.Errorf("all: %d of 120", n)
				}
				h.inactive("tick", "expired")
				h.inactive("all", "expired")
				h.onceEach()
				e.stop()
			})
		})
	}
}

// Restarts at many instants, polite and not: with the policy all nothing is
// lost, with skip what did not ring is on record, and nothing is doubled.
func TestRestarts(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		const grid = `"schedule":{"every":"100ms","start":"2000-01-01T00:00:01Z","end":"2000-01-01T00:00:40Z"}`
		h.do("create", `{"name":"skip","service":"s",`+grid+`}`)
		h.do("create", `{"name":"all","service":"s","missed":"all",`+grid+`}`)
		h.do("create", `{"name":"cron","service":"s","missed":"all","schedule":{"cron":"* * * * * *","start":"2000-01-01T00:00:01Z","end":"2000-01-01T00:00:40Z"}}`)
		for i := range 24 {
			time.Sleep(time.Duration(1000+i*37) * time.Millisecond)
			switch i % 4 {
			case 0: // polite, at once again
				e.stop()
			case 1: // polite, a while later
				e.stop()
				time.Sleep(time.Duration(i*13) * time.Millisecond)
			case 2: // without a word
				e.kill()
			case 3: // without a word, while another stands by
				standby := h.engine(scheduler.Options{})
				time.Sleep(10 * time.Millisecond)
				e.kill()
				<-standby.Ready()
				e = standby
				continue
			}
			e = h.lead(scheduler.Options{Embedded: true})
		}
		h.until("2000-01-01T00:00:50Z")
		missed := 0
		for _, r := range h.runs("skip") {
			missed += r.Missed.Count
		}
		skip, all, cron := len(h.fired("skip")), len(h.fired("all")), len(h.fired("cron"))
		if skip+missed != 391 || all != 391 || cron != 40 || missed == 0 {
			t.Errorf("skip: %d and %d missed, all: %d, of 391; cron: %d of 40", skip, missed, all, cron)
		}
		for _, name := range []string{"skip", "all", "cron"} {
			h.inactive(name, "expired")
		}
		h.onceEach()
	})
}
