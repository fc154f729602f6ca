package cmd_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	"github.com/nats-io/nats.go"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// bridgeQueues starts a bridge, for both ways. bridged sends a message through
// each of them, asks a service, and has the channels listed.
func bridgeQueues(t *testing.T, binary string, env []string) (d *daemon, bridged func(nc *nats.Conn)) {
	t.Helper()
	node := amqptest.Start(t)
	file := filepath.Join(t.TempDir(), "channels.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
amqp:
  rabbit:
    urls: [%s]
    topology: declare
    in: [{queue: in, service_from: "header:service", strict: true}]
    out: {publish: {routing_key: out}}
`, node.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	d = start(t, binary, append(env, "BELLHOP_CHANNELS="+file, "BELLHOP_HTTP_ADDR=127.0.0.1:0")...)
	url := d.await(t, `msg="serving HTTP" url=(\S+)`)[1]
	d.await(t, `msg=consuming`)
	return d, func(nc *nats.Conn) {
		t.Helper()
		c, err := amqp091.Dial(node.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ch, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		consume := func(queue string) <-chan amqp091.Delivery {
			t.Helper()
			all, err := ch.Consume(queue, "", true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		out, answers := consume("out"), consume("amq.rabbitmq.reply-to")
		for service, reply := range map[string]string{"publish": "", "echo": "amq.rabbitmq.reply-to"} {
			p := amqp091.Publishing{Headers: amqp091.Table{"service": service}, Body: []byte("hello"), ReplyTo: reply, CorrelationId: "c"}
			if err := ch.Publish("", "in", true, false, p); err != nil {
				t.Fatal(err)
			}
		}
		for what, c := range map[string]<-chan amqp091.Delivery{"published": out, "answered": answers} {
			select {
			case d := <-c:
				if string(d.Body) != "hello" {
					t.Errorf("%s: %s %v", what, d.Body, d.Headers)
				}
			case <-time.After(time.Minute):
				t.Errorf("nothing was %s", what)
			}
		}
		ringOverHTTP(t, url)
		all, err := channels.List(t.Context(), nc, "")
		if err != nil || len(all) != 3 || all[0].Received != 2 || !all[1].Connected {
			t.Errorf("the channels are %+v, %v", all, err)
		}
	}
}

// ringOverHTTP waits for an output, and looks at a run that has ended.
func ringOverHTTP(t *testing.T, url string) {
	t.Helper()
	do := func(method, path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Prefer", "wait=60")
		req.Header.Set("Idempotency-Key", "k")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s %s: %s %v %s", method, path, resp.Status, err, b)
		}
		return string(b)
	}
	if out := do(http.MethodPost, "/services/echo"); out != "hello" {
		t.Errorf("the output is %q", out)
	}
	if events := do(http.MethodGet, "/runs/http:echo:k/events"); !strings.Contains(events, "event: end\n") {
		t.Errorf("the events are %q", events)
	}
	if run := do(http.MethodGet, "/runs/http:echo:k"); !strings.Contains(run, `"state":"ended","outcome":"ok"`) {
		t.Errorf("the run is %s", run)
	}
}
