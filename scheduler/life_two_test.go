package scheduler_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go"
)

// Two schedulers: one leads, the other stands by and takes over, within
// milliseconds when it is asked to and within three seconds when it is not.
func TestTwoSchedulers(t *testing.T) {
	inBubble(t, func(h *house) {
		a := h.lead(scheduler.Options{Name: "a"})
		b := h.engine(scheduler.Options{Name: "b"})
		h.do("create", `{"name":"tick","service":"s","schedule":{"every":"100ms","start":"2000-01-01T00:00:01Z","end":"2000-01-01T00:01:00Z"}}`)
		h.do("create", `{"name":"at","service":"s","schedule":{"at":"2000-01-01T00:00:31Z"}}`)
		h.until("2000-01-01T00:00:10Z")
		time.Sleep(50 * time.Millisecond)
		if a, b := a.Status(), b.Status(); !a.Leading || b.Leading || b.Leader != a.Name || a.Active != 2 || b.Jobs != 2 {
			t.Errorf("a: %+v, b: %+v", a, b)
		}
		select {
		case <-b.Ready():
			t.Error("both lead")
		default:
		}
		within(t, "a polite hand-over", 10*time.Millisecond, func() {
			a.stop()
			<-b.Ready()
		})
		if st := b.Status(); !st.Leading || st.Epoch != 2 {
			t.Errorf("b: %+v", st)
		}
		c := h.engine(scheduler.Options{Name: "c"})
		h.until("2000-01-01T00:00:30Z")
		h.do("update", `{"name":"tick","payload":"x"}`) // confirmed just before the leader dies
		within(t, "a takeover", 3*time.Second, func() {
			b.kill()
			<-c.Ready()
		})
		r := h.get("tick")
		if r["payload"] != "x" {
			t.Errorf("after the takeover: %v", r)
		}
		h.until("2000-01-01T00:01:01Z")
		if n := len(h.fired("tick")); n != 591 {
			t.Errorf("%d runs, not 591", n)
		}
		h.rang("at", "00:00:31.000")
		h.inactive("at", "completed")
		if len(h.runs("tick")) != 0 {
			t.Error("something was missed")
		}
		if late := h.onceEach(); late > 3*time.Second {
			t.Errorf("%v late", late)
		}

		// Everybody answers a ping, the leader alone the API.
		h.engine(scheduler.Options{Name: "d"})
		time.Sleep(time.Second)
		h.same("pings", h.count("bellhop.ping", ""), 2)
		h.same("answers", h.count("bellhop.jobs.list", "{}"), 1)
		h.same("services", h.count("$SRV.INFO.bellhop", ""), 1)
	})
}

// count is how many answer.
func (h *house) count(subject, body string) int {
	h.Helper()
	inbox := nats.NewInbox()
	sub, err := h.nc.SubscribeSync(inbox)
	h.ok(err)
	defer func() { h.ok(sub.Unsubscribe()) }()
	h.ok(h.nc.PublishRequest(subject, inbox, []byte(body)))
	for n := 0; ; n++ {
		if _, err := sub.NextMsg(time.Second); err != nil {
			return n
		}
	}
}

// A hand-over under load: requests that come while nobody leads are asked
// again by the client, and every answer is true.
func TestHandOverUnderRequests(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		done := make(chan struct{})
		var wg sync.WaitGroup
		failures := make(chan error, 1000)
		for i := range 4 {
			name := fmt.Sprintf("job %d", i)
			_, err := h.client.Create(h.Context(), &scheduler.Job{Name: name, Service: "s", Schedule: scheduler.Schedule{Every: scheduler.Duration(time.Second)}})
			h.ok(err)
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					want := fmt.Sprint(n)
					_, err := h.client.Update(h.Context(), name, 0, map[string]json.RawMessage{"payload": json.RawMessage(want)})
					if err != nil {
						failures <- err
						continue
					}
					j, err := h.client.Get(h.Context(), name)
					if err != nil || string(j.Payload) != want || j.State != scheduler.StateActive || j.Next.IsZero() {
						t.Errorf("wrote %s, got %+v, %v", want, j, err)
					}
					time.Sleep(time.Until(time.Now().Add(20 * time.Millisecond).Truncate(20 * time.Millisecond)))
				}
			})
		}
		for range 5 {
			next := h.engine(scheduler.Options{})
			time.Sleep(time.Until(time.Now().Add(time.Second).Truncate(100 * time.Millisecond))) // just when they ask
			e.stop()
			<-next.Ready()
			e = next
		}
		close(done)
		wg.Wait()
		close(failures)
		for err := range failures {
			t.Errorf("a polite hand-over was noticed: %v", err)
		}
		if late := h.onceEach(); late > 20*time.Millisecond {
			t.Errorf("%v late", late)
		}
	})
}

// Namespaces live side by side on one NATS and know nothing of each other.
func TestNamespaces(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.start(scheduler.Options{Namespace: "other"})
		other := scheduler.NewClient(h.nc, "other")
		at := scheduler.Schedule{At: time.Now().Add(time.Second)}
		_, err := other.Create(h.Context(), &scheduler.Job{Name: "theirs", Service: "s", Schedule: at})
		h.ok(err)
		_, err = h.client.Create(h.Context(), &scheduler.Job{Name: "ours", Service: "s", Schedule: at})
		h.ok(err)
		if _, err := h.client.Get(h.Context(), "theirs"); scheduler.Code(err) != 404 {
			t.Errorf("theirs is here: %v", err)
		}
		time.Sleep(2 * time.Second)
		h.same("keys", h.keys(), []string{"ours"})
		j, err := other.Get(h.Context(), "theirs")
		if err != nil || j.Reason != scheduler.ReasonCompleted {
			t.Errorf("theirs: %+v, %v", j, err)
		}
		if _, err := scheduler.New(h.nc, scheduler.Options{Namespace: "not.one"}); err == nil {
			t.Error("a bad namespace is accepted")
		}
	})
}
