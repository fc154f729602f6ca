package httpchannel_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	httpchannel "github.com/bellhop-run/bellhop/channels/http"
	"github.com/nats-io/nats.go"
)

// BenchmarkRing is the answer 202 beside that of a bare handler which publishes
// the body to JetStream and waits for its acknowledgement, by turns in one
// process that has server and clients as well. ratio is how many rings there are
// for one of the bare ones.
func BenchmarkRing(b *testing.B) {
	h := newHouse(b, httpchannel.Options{})
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		h.ok(err)
		m := nats.NewMsg("bellhop.ring.bare.s")
		m.Data = body
		_, err = h.js.PublishMsg(r.Context(), m)
		h.ok(err)
		w.WriteHeader(http.StatusAccepted)
	}))
	b.Cleanup(bare.Close)
	body := strings.Repeat("x", 128)
	lap := func(url string, n int) time.Duration {
		began := time.Now()
		const clients = 64
		transport := &http.Transport{MaxIdleConnsPerHost: clients}
		defer transport.CloseIdleConnections()
		todo := make(chan struct{}, clients)
		done := make(chan struct{})
		for range clients {
			go func() {
				defer func() { done <- struct{}{} }()
				for range todo {
					resp, err := transport.RoundTrip(httptest.NewRequest(http.MethodPost, url, strings.NewReader(body)))
					h.ok(err)
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != http.StatusAccepted {
						b.Error(resp.Status)
					}
				}
			}()
		}
		for range n {
			todo <- struct{}{}
		}
		close(todo)
		for range clients {
			<-done
		}
		return time.Since(began)
	}
	const rounds = 4
	var ring, raw time.Duration
	for i := range rounds {
		if i%2 == 0 {
			raw += lap(bare.URL, b.N)
		}
		ring += lap(h.server.URL+"/services/s", b.N)
		if i%2 == 1 {
			raw += lap(bare.URL, b.N)
		}
	}
	n := float64(rounds * b.N)
	b.ReportMetric(float64(ring)/n, "ns/op")
	b.ReportMetric(float64(raw)/n, "raw-ns/op")
	b.ReportMetric(n/ring.Seconds(), "requests/s")
	b.ReportMetric(float64(raw)/float64(ring), "ratio")
}
