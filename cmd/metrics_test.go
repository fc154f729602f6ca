package cmd_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// TestMetricsAreInTheReadme compares what the README says that there is with
// what there is.
func TestMetricsAreInTheReadme(t *testing.T) {
	nc, err := nats.Connect(serve(t, server.Options{Port: -1}).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scheduler.New(nc, scheduler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	collectors := []prometheus.Collector{s, workers.New(nc, workers.Options{}), workers.NewDispatcher(js, ""), channels.NewMeter("amqp", "q")}
	descriptions := make(chan *prometheus.Desc, 100)
	for registry, i := prometheus.NewRegistry(), 0; i < len(collectors); i++ {
		if err := registry.Register(collectors[i]); err != nil { // one process may have all of them
			t.Error(err)
		}
		collectors[i].Describe(descriptions)
	}
	close(descriptions)
	var have []string
	for d := range descriptions {
		have = append(have, regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1])
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "| metric | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var told []string
	for line := range strings.Lines(table) {
		for _, m := range regexp.MustCompile("`(bellhop_\\w+)`").FindAllStringSubmatch(line, -1) {
			told = append(told, m[1])
		}
	}
	slices.Sort(have)
	slices.Sort(told)
	if d := cmp.Diff(have, told); d != "" {
		t.Error(d)
	}
}
