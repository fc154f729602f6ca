package forward_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/forward"
	"github.com/nats-io/nats.go/jetstream"
)

func TestRetryAfter(t *testing.T) {
	const date = "Tue, 24 Nov 2026 05:00:00 GMT"
	soon := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, tt := range []struct {
		name string
		code int
		said string
		date string
		want time.Duration
	}{
		{"seconds", 503, "120", date, 2 * time.Minute},
		{"too many", 429, "1", date, time.Second},
		{"a time", 503, "Tue, 24 Nov 2026 05:01:30 GMT", date, 90 * time.Second},
		{"a time in the old form", 503, "Tuesday, 24-Nov-26 05:01:30 GMT", date, 90 * time.Second},
		{"most seconds", 503, "2147483647", date, 2147483647 * time.Second},
		{"too many seconds", 503, "2147483648", date, 0},
		{"a time that has come", 503, date, date, 0},
		{"a time long ago", 503, "Tue, 24 Nov 1999 05:00:00 GMT", date, 0},
		{"none", 503, "", date, 0},
		{"zero", 503, "0", date, 0},
		{"negative", 503, "-5", date, 0},
		{"a word", 503, "later", date, 0},
		{"another status", 500, "120", date, 0},
		{"a success", 200, "120", date, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := &http.Response{StatusCode: tt.code, Header: http.Header{"Retry-After": {tt.said}, "Date": {tt.date}}}
			got, ok := forward.RetryAfter(resp)
			if ok != (tt.want > 0) || ok && got != tt.want {
				t.Errorf("got %v, %v, want %v", got, ok, tt.want)
			}
		})
	}
	got, ok := forward.RetryAfter(&http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {soon}}})
	if !ok || got <= 0 || got > time.Hour {
		t.Errorf("by our own clock: %v, %v", got, ok)
	}
}

// answers is a transport that has an endpoint's answers ready.
type answers chan *http.Response

func (a answers) RoundTrip(*http.Request) (*http.Response, error) { return <-a, nil }

// TestAnEndpointIsLeftAlone sees the workers wait as long as they are asked to,
// and not as long as their backoff says.
func TestAnEndpointIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if err := workers.Setup(t.Context(), js, workers.SetupOptions{}); err != nil {
			t.Fatal(err)
		}
		ready := make(answers, 3)
		ready <- &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"7200"}}, Body: http.NoBody}
		ready <- &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"Tue, 24 Nov 2026 05:10:00 GMT"}, "Date": {"Tue, 24 Nov 2026 05:00:00 GMT"}}, Body: http.NoBody}
		ready <- &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
		runs := make(chan workers.Run, 3)
		w := workers.New(nc, workers.Options{Logger: slog.New(slog.DiscardHandler), OnRun: func(r workers.Run) { runs <- r }})
		w.Handle("crm", endpoint(t, "http://crm.example/hook", forward.Options{Transport: ready}))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		if _, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: "crm"}); err != nil {
			t.Fatal(err)
		}
		before := <-runs
		for _, want := range []time.Duration{2 * time.Hour, 10 * time.Minute} {
			next := <-runs
			if waited := next.Started.Sub(before.Finished); waited < want || waited > want+time.Minute {
				t.Errorf("waits for %s, was asked for %s", waited, want)
			}
			before = next
		}
		if before.Outcome != workers.OutcomeOK {
			t.Errorf("ends as %+v", before)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
