package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// The client's verbs, from services' code.
func TestClient(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		c, ctx := h.client, h.Context()
		every := scheduler.Schedule{Every: scheduler.Duration(time.Minute)}
		j, err := c.Create(ctx, &scheduler.Job{Name: "a b", Service: "s", Schedule: every, Payload: scheduler.Text("hello"), Labels: map[string]string{"k": "v"}})
		h.ok(err)
		if j.State != scheduler.StateActive || j.Revision == 0 || time.Until(j.Next) < 59*time.Second || string(j.Payload) != `"hello"` || !j.Enabled() {
			t.Errorf("created: %+v", j)
		}
		_, err = c.Create(ctx, j)
		if e, ok := errors.AsType[*scheduler.Error](err); !ok || e.Code != 409 || e.Field != "name" || e.Hint == "" || e.Revision != j.Revision {
			t.Errorf("created again: %v", err)
		}
		j.Payload = json.RawMessage(`{"k": "<>"}`)
		j, err = c.Put(ctx, j)
		h.ok(err)
		if string(j.Payload) != `{"k": "<>"}` {
			t.Errorf("put: %s", j.Payload)
		}
		k, err := c.Update(ctx, "a b", j.Revision, map[string]json.RawMessage{"description": scheduler.Text("d"), "payload": json.RawMessage(`null`), "name": scheduler.Text("ignored")})
		h.ok(err)
		if k.Description != "d" || k.Payload != nil || k.Labels["k"] != "v" || k.Name != "a b" {
			t.Errorf("updated: %+v", k)
		}
		_, err = c.Update(ctx, "a b", j.Revision, nil)
		if scheduler.Code(err) != 409 {
			t.Errorf("updated at an old revision: %v", err)
		}
		k, err = c.Deactivate(ctx, "a b")
		if err != nil || k.State != scheduler.StateInactive || k.Reason != scheduler.ReasonDeactivated || !k.Next.IsZero() || k.Enabled() {
			t.Errorf("deactivated: %+v, %v", k, err)
		}
		k, err = c.Activate(ctx, "a b", &scheduler.Schedule{Every: every.Every, MaxRuns: 1})
		if err != nil || k.State != scheduler.StateActive || k.Schedule.MaxRuns != 1 {
			t.Errorf("activated: %+v, %v", k, err)
		}
		times, err := c.Next(ctx, "a b", 3, time.Time{})
		if err != nil || len(times) != 1 || !times[0].Equal(k.Next) {
			t.Errorf("next: %v, %v", times, err)
		}
		times, err = c.NextOf(ctx, &every, 3, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil || len(times) != 3 || times[2] != time.Date(2030, 1, 1, 0, 3, 0, 0, time.UTC) {
			t.Errorf("next of: %v, %v", times, err)
		}
		if _, err := c.NextOf(ctx, &scheduler.Schedule{Cron: "TZ="}, 1, time.Time{}); scheduler.Code(err) != 400 {
			t.Errorf("next of a bad one: %v", err)
		}
		run, err := c.Run(ctx, "a b", json.RawMessage(`null`))
		if err != nil || run == "" {
			t.Errorf("run: %q, %v", run, err)
		}
		time.Sleep(61 * time.Second)
		k, err = c.Get(ctx, "a b")
		if err != nil || k.Runs != 1 || k.Reason != scheduler.ReasonCompleted {
			t.Errorf("after its only run: %+v, %v", k, err)
		}
		k, err = c.Put(ctx, k) // as it was got
		if err != nil || k.Reason != scheduler.ReasonCompleted {
			t.Errorf("put as it was got: %+v, %v", k, err)
		}
		h.ok(c.Delete(ctx, "a b"))
		if _, err := c.Get(ctx, "a b"); scheduler.Code(err) != 404 {
			t.Errorf("deleted: %v", err)
		}
		if _, err := c.Create(ctx, &scheduler.Job{Name: "x", Service: "s", Schedule: every, Payload: json.RawMessage("{")}); scheduler.Code(err) != 400 {
			t.Errorf("broken payload: %v", err)
		}
		for _, err := range c.List(ctx, scheduler.Filter{State: "asleep"}) {
			if scheduler.Code(err) != 400 {
				t.Errorf("list: %v", err)
			}
		}
	})
}

// A client waits for a leader, but not for ever.
func TestClientWaitsForALeader(t *testing.T) {
	inBubble(t, func(h *house) {
		began := time.Now()
		_, err := h.client.Get(h.Context(), "x")
		if took := time.Since(began); !errors.Is(err, scheduler.ErrNoLeader) || took < 9*time.Second || took > 11*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		if _, err := h.client.Get(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a deadline: %v", err)
		}
		time.AfterFunc(3*time.Second, func() { h.engine(scheduler.Options{}) })
		if _, err := h.client.Get(h.Context(), "x"); scheduler.Code(err) != 404 {
			t.Errorf("a leader comes: %v", err)
		}
	})
}
