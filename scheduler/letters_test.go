package scheduler_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// bury puts a dead letter: headers are name, value, name, value.
func (h *house) bury(service, payload string, headers ...string) {
	h.Helper()
	m := nats.NewMsg("bellhop.dead." + service)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	m.Data = []byte(payload)
	_, err := h.js.PublishMsg(h.Context(), m)
	h.ok(err)
}

// letters asks a verb about letters as the nats command would.
func (h *house) letters(verb, body string) string {
	h.Helper()
	m, err := h.nc.Request("bellhop.letters."+verb, []byte(body), time.Minute)
	h.ok(err)
	return string(m.Data)
}

func TestLetters(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.same("nothing", h.letters("list", ""), `{"letters":[]}`)
		const all = 250
		for i := range all {
			service := "a"
			if i%2 == 1 {
				service = "b"
			}
			h.bury(service, "pay", "Bellhop-Reason", fmt.Sprintf("reason %d", i), "Bellhop-Job", fmt.Sprintf("job=20%d", i%5), "Bellhop-Run", fmt.Sprint("r", i))
			time.Sleep(time.Second)
		}
		list := func(f scheduler.LetterFilter) (ids []uint64) {
			for l, err := range h.client.Letters(h.Context(), f) {
				h.ok(err)
				h.same("payload", l.Payload, "")
				h.same("size", l.Size, 3)
				ids = append(ids, l.ID)
			}
			n, err := h.client.CountLetters(h.Context(), f)
			h.ok(err)
			h.same("count", n, len(ids))
			return ids
		}
		for _, f := range []scheduler.LetterFilter{{}, {Limit: 1000}, {Limit: 7}} {
			ids := list(f)
			h.same("all", len(ids), all)
			for i, id := range ids {
				h.same("newest first", id, uint64(all-i))
			}
		}
		h.same("by service", len(list(scheduler.LetterFilter{Service: "b", Limit: 10})), all/2)
		h.same("by job", len(list(scheduler.LetterFilter{Job: "job 3"})), all/5)
		h.same("by reason", len(list(scheduler.LetterFilter{Reason: "REASON 24"})), 11)
		h.same("since", len(list(scheduler.LetterFilter{Since: time.Now().Add(-10 * time.Second)})), 10)
		h.same("until", len(list(scheduler.LetterFilter{Until: time.Now().Add(-10 * time.Second)})), all-9)
		page, next, err := h.client.LettersPage(h.Context(), scheduler.LetterFilter{Limit: 3})
		h.ok(err)
		h.same("page", len(page), 3)
		h.same("cursor", next, "248")
		if r := h.letters("list", `{"limit":1,"cursor":"2"}`); !strings.Contains(r, `"id":1,`) || strings.Contains(r, "cursor") {
			h.Errorf("the last page is %s", r)
		}
	})
}

// A page of letters is small enough for a reply, whatever they hold.
func TestLargeLetters(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		for i := range 9 {
			h.bury("s", strings.Repeat("\xff", 900_000), "X-Large", strings.Repeat("x", 55_000+i))
		}
		n := 0
		for l, err := range h.client.Letters(h.Context(), scheduler.LetterFilter{}) {
			h.ok(err)
			h.same("size", l.Size, 900_000)
			n++
		}
		h.same("letters", n, 9)
		if r := h.letters("list", ""); len(r) > 256<<10 {
			h.Errorf("a page of %d bytes", len(r))
		}
		l, err := h.client.Letter(h.Context(), 1)
		h.ok(err)
		h.same("size", l.Size, 900_000)
		h.same("payload", len(l.Bytes()), 0)
		h.same("omitted", l.Omitted, "too large for a reply: nats stream get bellhop-dead 1 shows it")
		_, err = h.client.RedriveLetter(h.Context(), 1)
		h.ok(err)
		rings, err := h.js.Stream(h.Context(), "bellhop-rings")
		h.ok(err)
		m, err := rings.GetMsg(h.Context(), 1)
		h.ok(err)
		h.same("payload", len(m.Data), 900_000)
	})
}

func TestLetterVerbs(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.bury("s", "text", "Bellhop-Run", "r", "Color", "red", "Bellhop-Reason", "why", "Bellhop-Attempts", "3")
		h.bury("s", "\xff")
		l, err := h.client.Letter(h.Context(), 1)
		h.ok(err)
		want := &workers.Letter{ID: 1, Time: l.Time, Run: "r", Service: "s", Reason: "why", Attempts: 3, Header: nats.Header{"Color": {"red"}}, Size: 4, Payload: "text"}
		if d := cmp.Diff(want, l); d != "" {
			h.Error(d)
		}
		if r := h.letters("get", `{"id":2}`); !strings.Contains(r, `"payload_base64":"/w=="`) {
			h.Errorf("a binary one is %s", r)
		}
		h.same("redriven", h.letters("redrive", `{"id":1}`), `{"run":"r"}`)
		h.same("dropped", h.letters("drop", `{"id":2}`), `{}`)
		h.same("left", h.letters("count", ""), `{"count":0}`)
		synctest.Wait()
		h.bury("s", "", "Bellhop-Omitted", "7", "Bellhop-Place", "bellhop-rings:99")
		for _, tt := range []struct {
			verb, body string
			code       int
			words      string
		}{
			{"get", `{"id":1}`, 404, "there is no dead letter 1"},
			{"get", ``, 404, "no dead letter 0"},
			{"redrive", `{"id":1}`, 404, "bellhop dead list"},
			{"drop", `{"id":2}`, 404, "no dead letter 2"},
			{"redrive", `{"id":3}`, 409, "no longer at bellhop-rings:99"},
			{"drop", `{"id":-1}`, 400, "id"},
			{"drop", `{"id":"x"}`, 400, "id"},
			{"drop", `{"ID":3}`, 400, "unknown"},
			{"list", `{"limit":0}`, 400, "limit"},
			{"list", `{"limit":1001}`, 400, "1000"},
			{"list", `{"cursor":"x"}`, 400, "cursor"},
			{"list", `{"since":"yesterday"}`, 400, "since"},
			{"count", `{"colour":"red"}`, 400, "colour"},
		} {
			var e scheduler.Error
			reply := h.letters(tt.verb, tt.body)
			if err := json.Unmarshal([]byte(reply), &e); err != nil || e.Code != tt.code || !strings.Contains(reply, tt.words) {
				h.Errorf("%s %s: %s", tt.verb, tt.body, reply)
			}
		}
	})
}
