// Package web is what every Bellhop binary serves over HTTP, on one address:
// whether it is well, and how it fares.
//
//	/         a page that leads to the others
//	/healthz  JSON, 200 when every check passes and 503 otherwise
//	/metrics  for Prometheus
//
// and, in those that ring services over HTTP, behind a Guard:
//
//	/services  rings them
//	/runs      shows what comes of it
//
// A Guard knows people and programs by tokens, and browsers by sessions that a
// token began:
//
//	program ── Authorization: Bearer ──► Ring, Read, Look, Pages
//	browser ── token ──► Login ── cookie ──► Pages ──► Logout
package web

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one part of /healthz: what is to be shown of it, and an error when
// it is not well.
type Check func() (detail any, err error)

// Connected is the check that nc has its server.
func Connected(nc *nats.Conn) Check {
	return func() (any, error) {
		if status := nc.Status(); status != nats.CONNECTED {
			return nil, fmt.Errorf("connection is %s", strings.ToLower(status.String()))
		}
		return nc.ConnectedUrlRedacted(), nil
	}
}

// Handler gives the routes that every binary has. title names the binary.
func Handler(title string, checks map[string]Check, metrics ...prometheus.Collector) (*http.ServeMux, error) {
	registry := prometheus.NewRegistry()
	metrics = append(metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, m := range metrics {
		if err := registry.Register(m); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index(title))
	mux.HandleFunc("GET /healthz", health(checks))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	return mux, nil
}

// part is one check's outcome in the body of /healthz.
type part struct {
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`
	Detail any    `json:"detail,omitempty"`
}

func health(checks map[string]Check) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body := struct {
			Status string          `json:"status"`
			Checks map[string]part `json:"checks"`
		}{"ok", make(map[string]part, len(checks))}
		code := http.StatusOK
		for name, check := range checks {
			detail, err := check()
			p := part{OK: err == nil, Detail: detail}
			if err != nil {
				p.Error = err.Error()
				body.Status, code = "failing", http.StatusServiceUnavailable
			}
			body.Checks[name] = p
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(body) // whoever asked has gone
	}
}

const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>%[1]s</title>
<h1>%[1]s</h1>
<p><a href="%[2]s/healthz">healthz</a>: is it well? <a href="%[2]s/metrics">metrics</a>: how it fares.</p>
</html>
`

func index(title string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, page, html.EscapeString(title), Prefix(r))
	}
}
