package scheduler_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

// Where the grid of an interval begins, and what moves it.
func TestGrid(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.until("2000-01-01T00:01:00Z")
		create := func(name, schedule string) {
			t.Helper()
			h.do("create", `{"name":"`+name+`","service":"s","schedule":`+schedule+`}`)
		}
		create("past", `{"every":"7s","start":"2000-01-01T00:00:00Z"}`) // 63, 70, 77
		create("long past", `{"every":"7s","start":"1970-01-01T00:00:00Z"}`)
		create("future", `{"every":"7s","start":"2000-01-01T00:01:05Z"}`)
		create("bounded", `{"every":"5s","start":"2000-01-01T00:01:05Z","end":"2000-01-01T00:01:15Z"}`)
		create("cron", `{"cron":"*/10 * * * * *","end":"2000-01-01T00:01:10Z"}`)
		create("one", `{"every":"5s","start":"2000-01-01T00:01:05Z","end":"2000-01-01T00:01:05Z"}`)
		anchor := h.get("past").str("anchor")
		if !strings.HasPrefix(anchor, "2000-01-01T00:01:00.00") {
			t.Errorf("anchored at %s", anchor)
		}
		create("floating", `{"every":"7s"}`)
		create("moved", `{"every":"7s"}`)
		create("again", `{"every":"7s"}`)
		h.refuses("create", `{"name":"x","service":"s","schedule":{"every":"1h","end":"2000-01-01T00:30:00Z"}}`, 400, "schedule.end", "later end")
		h.refuses("create", `{"name":"x","service":"s","schedule":{"every":"1h","end":"1999-01-01T00:30:00Z"}}`, 400, "schedule.end", "later end")
		h.refuses("create", `{"name":"x","service":"s","schedule":{"cron":"0 0 1 1 *","start":"2000-01-01T00:00:01Z","end":"2000-12-31T23:59:59Z"}}`, 400, "schedule.end", "later end")

		h.until("2000-01-01T00:01:04Z")
		h.do("update", `{"name":"floating","payload":{"n":1},"labels":{"a":"b"}}`)
		h.do("update", `{"name":"floating","schedule":{"every":"7000ms","end":"2000-01-01T00:01:21.5Z"}}`) // the same grid
		h.do("update", `{"name":"moved","schedule":{"every":"10s"}}`)                                      // another one
		h.do("deactivate", `{"name":"again"}`)
		h.until("2000-01-01T00:01:06Z")
		h.do("put", `{"name":"floating","service":"s","schedule":{"every":"7s","end":"2000-01-01T00:01:21.5Z"},"payload":1}`)
		h.do("activate", `{"name":"again"}`)
		h.until("2000-01-01T00:01:22Z")

		h.rang("past", "01:03.000", "01:10.000", "01:17.000")
		phase := (946684860 % 7) // of the long past grid at 00:01:00
		h.rang("long=20past", fmt.Sprintf("01:%02d.000", 7-phase), fmt.Sprintf("01:%02d.000", 14-phase), fmt.Sprintf("01:%02d.000", 21-phase))
		h.rang("future", "01:05.000", "01:12.000", "01:19.000")
		h.rang("bounded", "01:05.000", "01:10.000", "01:15.000")
		h.rang("one", "01:05.000")
		h.rang("cron", "01:10.000")
		h.rang("floating", "01:07.00", "01:14.00", "01:21.00")
		h.rang("moved", "01:14.00")
		h.rang("again", "01:13.00", "01:20.00")
		for _, name := range []string{"bounded", "cron", "one", "floating"} {
			h.inactive(name, "expired")
		}
		if late := h.onceEach(); late != 0 {
			t.Errorf("%v late", late)
		}
		h.refuses("activate", `{"name":"bounded"}`, 400, "schedule.end", "later end")
	})
}

// Due times with jitter lie within their bounds, and are the same for whoever
// computes them, also after a restart.
func TestJitter(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})()
		e := h.lead(scheduler.Options{})
		h.do("create", `{"name":"i","service":"s","schedule":{"every":"10s","start":"2000-01-01T00:00:10Z","jitter":"9s"}}`)
		h.do("create", `{"name":"k","service":"s","schedule":{"cron":"*/10 * * * * *","start":"2000-01-01T00:00:10Z","jitter":"9999ms"}}`)
		var want []string
		for _, name := range []string{"i", "k"} {
			for i, due := range h.do("next", `{"name":"`+name+`","count":12}`)["next"].([]any) {
				want = append(want, due.(string))
				at, err := time.Parse(time.RFC3339, due.(string))
				h.ok(err)
				nominal := time.Date(2000, 1, 1, 0, 0, 10*(i+1), 0, time.UTC)
				if d := at.Sub(nominal); d < 0 || d >= 10*time.Second || name == "i" && d >= 9*time.Second {
					t.Errorf("%s: %s for %s", name, due, nominal)
				}
			}
		}
		h.until("2000-01-01T00:00:35Z")
		e.stop()
		e = h.lead(scheduler.Options{})
		h.until("2000-01-01T00:01:05Z")
		e.kill()
		h.lead(scheduler.Options{Embedded: true})
		h.until("2000-01-01T00:02:30Z")
		got := append(h.fired("i")[:12], h.fired("k")[:12]...)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("rang %v\nwant %v", got, want)
		}
		h.onceEach()
	})
}

// A year of a daily job, in a zone whose clocks change: 365 runs. The machine
// is on for a moment every tenth night and on those around the changes, when
// the run is on time; the others are made up for at the next start.
func TestYear(t *testing.T) {
	inBubble(t, func(h *house) {
		berlin, err := time.LoadLocation("Europe/Berlin")
		h.ok(err)
		e := h.lead(scheduler.Options{})
		h.do("create", `{"name":"daily","service":"s","missed":"all","schedule":{"cron":"30 2 * * *","time_zone":"Europe/Berlin"}}`)
		e.stop()
		var want []string
		onTime := map[string]bool{}
		for night := 1; night <= 365; night++ {
			due := time.Date(2000, 1, night, 2, 30, 0, 0, berlin)
			switch due.Format("0102") {
			case "0326": // 02:30 is skipped: right after the gap
				due = time.Date(2000, 3, 26, 1, 0, 0, 0, time.UTC)
			case "1029": // 02:30 comes twice: the first time
				due = time.Date(2000, 10, 29, 0, 30, 0, 0, time.UTC)
			}
			text := due.UTC().Format(workers.DueLayout)
			want = append(want, text)
			changes := due.Month() == time.March && due.Day() >= 25 && due.Day() <= 28 || due.Month() == time.October && due.Day() >= 28 && due.Day() <= 31
			if night%10 != 5 && !changes {
				continue
			}
			onTime[text] = true
			h.nc.Close()
			h.s.Down()
			time.Sleep(time.Until(due.Add(-300 * time.Millisecond)))
			h.s.Up()
			h.nc = h.s.Connect()
			h.js = mustJS(t, h.nc)
			e := h.lead(scheduler.Options{Embedded: true, Keep: 400 * 24 * time.Hour})
			time.Sleep(time.Until(due.Add(100 * time.Millisecond)))
			if night%3 == 0 {
				e.kill()
			} else {
				e.stop()
			}
		}
		var got []string
		for _, r := range h.log() {
			got = append(got, r.due)
			if onTime[r.due] && r.at.Format(workers.DueLayout) != r.due {
				t.Errorf("%s rang at %s", r.due, r.at)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
