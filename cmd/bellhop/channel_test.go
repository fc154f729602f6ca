package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestUpWithChannels has bellhop up run channels, one of which has a broker that
// is not there: both ways work, the other shows what is wrong.
func TestUpWithChannels(t *testing.T) {
	t.Parallel()
	node := amqptest.Start(t)
	file := filepath.Join(t.TempDir(), "channels.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
amqp:
  here:
    urls: [%s]
    topology: declare
    in: [{queue: orders, service: publish}]
    out: {publish: {routing_key: answers}}
  away:
    urls: ["amqp://guest:s3cret@127.0.0.1:1/"]
    in: [{queue: q, service: echo}]
`, node.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	p, url := upServer(t, "BELLHOP_SYNC=1s", "BELLHOP_CHANNELS="+file)
	c, err := amqp091.Dial(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	list := func(format string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), binary, "channel", "list", "-o", format, "--server", url).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for deadline := time.Now().Add(time.Minute); strings.Count(list("json"), `"connected":true`) < 3; { // both ways are declared, and HTTP is there
		if time.Now().After(deadline) {
			t.Fatalf("not connected:\n%s", list("wide"))
		}
	}
	if err := ch.Publish("", "orders", true, false, amqp091.Publishing{MessageId: "17", Body: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	answers, err := ch.Consume("answers", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-answers:
		if d.MessageId != "amqp:here=2Forders:17" || string(d.Body) != "hello" {
			t.Errorf("published: %s %s", d.MessageId, d.Body)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing was published")
	}
	for format, want := range map[string]string{
		"table": `(?s)^CHANNEL +NAME +STATE +RECEIVED .*amqp +away/q +away +0 .* ago: connect to amqp://127.0.0.1:1/: .*refused.*amqp +here/orders +connected +1 +1 +0 +0 .*amqp +here/out/publish +connected +1 +1 `,
		"wide":  `PROCESS\n`,
		"name":  `^away/q\nhere/orders\nhere/out/publish\nhttp\n$`,
		"yaml":  `(?m)^name: here/orders$`,
	} {
		if got := list(format); !regexp.MustCompile(want).MatchString(got) || strings.Contains(got, "s3cret") {
			t.Errorf("as %s the list is\n%s", format, got)
		}
	}
	var s channels.Status
	first, _, _ := strings.Cut(list("json"), "\n")
	if err := json.Unmarshal([]byte(first), &s); err != nil || s.Connected || s.Process != p.Process.Pid {
		t.Errorf("%s: %v", first, err)
	}
}
