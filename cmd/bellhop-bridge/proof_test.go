//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	"github.com/bellhop-run/bellhop/cmd/internal/processtest"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestAServiceNeedNotKnow registers a service once, and has it rung by a
// schedule, by an AMQP producer, by AMQP request and reply, by POST, by POST that
// waits, by the command line and by a plain request on NATS. It gets the same
// bytes each time, and who waits gets the same output.
func TestAServiceNeedNotKnow(t *testing.T) {
	const payload = "the same \"bytes\" \\ é\t\n each time"
	node := amqptest.Start(t)
	server := natstest.StartProcess(t, natstest.ProcessOptions{})
	nc, err := nats.Connect(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := scheduler.Setup(t.Context(), js, scheduler.Options{}); err != nil {
		t.Fatal(err)
	}

	// The service: the only code here that does any work.
	seen := make(chan workers.Trigger, 100)
	w := workers.New(nc, workers.Options{Logger: slog.New(slog.DiscardHandler)})
	w.HandleFunc("proof", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		seen <- *t
		return append([]byte("done: "), t.Payload...), nil
	})
	s, err := scheduler.New(nc, scheduler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{w.Run, s.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { stop(); running.Wait() })

	b := start(t, "BELLHOP_NATS_URL="+server.URL, "BELLHOP_HTTP_ADDR=127.0.0.1:0", "BELLHOP_CHANNELS="+file(t, fmt.Sprintf(`
amqp:
  rabbit:
    urls: [%s]
    topology: declare
    in:
      - {queue: in, service: proof}
`, node.URL)))
	b.await("consuming")
	b.await("serving HTTP")
	url := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(b.said())[1] + "/services/proof"
	bellhop, remove, err := processtest.Build("../bellhop")
	t.Cleanup(remove)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := amqp091.Dial(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := ch.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(p amqp091.Publishing) error {
		p.Body = []byte(payload)
		return ch.PublishWithContext(t.Context(), "", "in", true, false, p)
	}
	post := func(status int, header ...string) (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(payload))
		if err != nil {
			return "", err
		}
		if len(header) == 2 {
			req.Header.Set(header[0], header[1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if resp.StatusCode != status {
			err = fmt.Errorf("%s: %s", resp.Status, out)
		}
		return string(out), err
	}

	const nobody = "" // waits for the output
	for _, tt := range []struct {
		name, channel string
		ring          func() (output string, err error)
	}{
		{"a schedule", "scheduler", func() (string, error) {
			_, err := scheduler.NewClient(nc, "").Create(t.Context(), &scheduler.Job{
				Name: "proof", Service: "proof", Payload: scheduler.Text(payload),
				Schedule: scheduler.Schedule{Every: scheduler.Duration(50 * time.Millisecond), MaxRuns: 1},
			})
			return nobody, err
		}},
		{"an AMQP producer", "amqp", func() (string, error) { return nobody, publish(amqp091.Publishing{MessageId: "1"}) }},
		{"AMQP request and reply", "amqp", func() (string, error) {
			if err := publish(amqp091.Publishing{MessageId: "2", CorrelationId: "c", ReplyTo: "amq.rabbitmq.reply-to"}); err != nil {
				return "", err
			}
			select {
			case d := <-answers:
				if d.CorrelationId != "c" {
					return "", fmt.Errorf("an answer to %q", d.CorrelationId)
				}
				return string(d.Body), nil
			case <-time.After(patience):
				return "", errors.New("no answer")
			}
		}},
		{"POST", "http", func() (string, error) {
			_, err := post(http.StatusAccepted)
			return nobody, err
		}},
		{"POST that waits", "http", func() (string, error) { return post(http.StatusOK, "Prefer", "wait=60") }},
		{"the command line", "cli", func() (string, error) {
			c := exec.CommandContext(t.Context(), bellhop, "service", "trigger", "proof", payload, "--follow")
			c.Env = []string{"HOME=" + t.TempDir(), "BELLHOP_NATS_URL=" + server.URL}
			out, err := c.Output()
			return string(out), err
		}},
		{"a plain request", "call", func() (string, error) {
			m, err := nc.Request("bellhop.call.proof", []byte(payload), patience) // nats req
			if err != nil {
				return "", err
			}
			return string(m.Data), nil
		}},
	} {
		output, err := tt.ring()
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if output != nobody && output != "done: "+payload {
			t.Errorf("%s: the output is %q", tt.name, output)
		}
		select {
		case got := <-seen:
			if got.Channel != tt.channel || got.Service != "proof" || got.Attempt != 1 || got.Run == "" {
				t.Errorf("%s: %s rang %s, attempt %d, run %q", tt.name, got.Channel, got.Service, got.Attempt, got.Run)
			}
			if string(got.Payload) != payload {
				t.Errorf("%s: the payload is %q", tt.name, got.Payload)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the service is not rung", tt.name)
		}
	}
	if n := len(seen); n != 0 {
		t.Errorf("%d runs too many", n)
	}
}
