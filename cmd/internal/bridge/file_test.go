package bridge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/yamlfile"
	"github.com/bellhop-run/bellhop/workers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// secrets writes what definitions name into a directory.
func secrets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"rabbit.txt": []byte("me:s3:cret\n"), "broken.txt": []byte("s3cret\n"),
		"ca.pem":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParse(t *testing.T) {
	const text = `
amqp:
  orders:
    urls: [amqps://rabbit-1.example:5671/shop, amqps://rabbit-2.example:5671/shop]
    credentials: rabbit.txt
    tls: {ca: ca.pem, cert: ca.pem, key: key.pem, server_name: rabbit.example}
    heartbeat: 5s
    topology: declare
    in:
      - queue: orders
        service: billing
        prefetch: 100
        attempts: 5
        timeout: 10m
        call_timeout: 10s
        hold: 1m
        strict: true
        id_header: number
        dead_letter: morgue
        delivery_limit: 20
        bind:
          - {exchange: events, routing_key: order.*}
      - {queue: any, service_from: routing_key, topology: passive}
      - {queue: headed, service_from: "header:service", topology: none}
    out:
      shipped: {exchange: events, type: topic, routing_key: shipped, description: Tells the shop, concurrency: 8, attempts: 3, timeout: 5s, backoff: 1s, max_backoff: 1m}
      bills: {routing_key: bills}
  other:
    urls: [amqp://127.0.0.1/]
    out:
      elsewhere: {exchange: e}
`
	p := &Plan{}
	if err := p.parse([]byte(text), secrets(t), quiet, []string{"echo"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range p.meters() {
		names = append(names, m.Status().Name)
	}
	want := []string{"orders/orders", "orders/any", "orders/headed", "orders/out/shipped", "orders/out/bills", "other/out/elsewhere"}
	if !slices.Equal(names, want) || p.Empty() || len(p.Collectors()) != len(want) {
		t.Errorf("the channels are %v", names)
	}
	if got := p.Services(); !slices.Equal(got, []string{"shipped", "bills", "elsewhere"}) || p.Concurrency() != 8+256+256 {
		t.Errorf("the services are %v, with %d runs", got, p.Concurrency())
	}
	if o := p.outs[0].options; o != (workers.ServiceOptions{Description: "Tells the shop", Concurrency: 8, Attempts: 3, Timeout: 5 * time.Second, Backoff: time.Second, MaxBackoff: time.Minute}) {
		t.Errorf("the options are %+v", o)
	}
	if _, err := p.Check()(); err == nil || !strings.Contains(err.Error(), "other/out/elsewhere is not connected") {
		t.Errorf("nothing is connected, and the check says %v", err)
	}
}

// TestParseRefuses tells the line, the field and what to do, and no secret.
func TestParseRefuses(t *testing.T) {
	dir := secrets(t)
	const head = "amqp:\n  r:\n    urls: [amqp://127.0.0.1/]\n"
	for text, want := range map[string]string{
		"amqp: []":                          "line 1: amqp: write brokers by name",
		"soap: {}":                          `line 1: soap: there is no such kind of channel; there are`,
		"amqp:\n  r: {}":                    "line 2: amqp.r: a URL such as",
		"amqp:\n  a b: {urls: [amqp://x/]}": `line 2: amqp.a b: name "a b": use 1 to 60`,
		"amqp:\n  r:\n    urls: [http://me:s3cret@x/]": "URL http://x/: use one such as",
		head:                            "line 2: amqp.r: nothing is done there",
		head + "    inn: []":            "line 4: amqp.r.inn: there is no such field; there are urls",
		head + "    in: []":             "line 4: amqp.r.in: write a list of queues",
		head + "    in: [{service: s}]": "line 4: amqp.r.in[0]: name the queue",
		head + "    in: [{queue: q}]":   "line 4: amqp.r.in[0]: say what it rings",
		head + "    in: [{queue: q, service: s, service_from: routing_key}]":                           "say what it rings, with one of",
		head + "    in: [{queue: q, service_from: body}]":                                              `amqp.r.in[0].service_from: "body": use routing_key`,
		head + "    in: [{queue: q, service: a b}]":                                                    "queue q: invalid name",
		head + "    in:\n      - {queue: q, service: s}\n      - {queue: q, service: t}":               "line 6: amqp.r.in[1]: the queue is there already",
		head + "    in: [{queue: q, service: s, prefetch: 0}]":                                         "use a whole number from 1 to 4000",
		head + "    in: [{queue: q, service: s, strict: maybe}]":                                       "write true or false",
		head + "    in: [{queue: q, service: s, call_timeout: 1h}]":                                    "use a duration from 1ms to 15m",
		head + "    in: [{queue: q, service: s, topology: guess}]":                                     `"guess": use passive, declare or none`,
		head + "    in: [{queue: q, service: s, dead_letter: d}]":                                      "are for topology declare",
		head + "    in: [{queue: q, service: s, bind: [{x: 1}]}]":                                      "amqp.r.in[0].bind[0].x: there is no such field",
		head + "    in: [{queue: q, service: s, topology: declare, bind: [{routing_key: k}]}]":         "name the exchange",
		head + "    in: [{queue: q, service: s, nonsense: 1}]":                                         "there is no such field; there are queue",
		head + "    out: {s: {}}":                                                                      "amqp.r.out.s: say where to",
		head + "    out: {s: {exchnge: x}}":                                                            "amqp.r.out.s.exchnge: there is no such field; there are exchange",
		head + "    out: {echo: {exchange: x}}":                                                        "runs a service of that name already",
		head + "    out: {s: {exchange: x}}\n  q:\n    urls: [amqp://y/]\n    out: {s: {exchange: x}}": "line 7: amqp.q.out.s: there is a service of that name",
		head + "    out: {a..b: {exchange: x}}":                                                        "use dot-separated tokens",
		head + "    credentials: missing.txt\n    out: {s: {exchange: x}}":                             "line 4: amqp.r.credentials: read credentials",
		head + "    credentials: broken.txt\n    out: {s: {exchange: x}}":                              "write one line, user:password",
		head + "    tls: {ca: key.pem}":                                                                "holds no certificate",
		head + "    tls: {cert: ca.pem}":                                                               "cert and key go together",
		head + "    tls: {cert: ca.pem, key: ca.pem}":                                                  "cert and key: ",
		head + "    tls: {verify: no}":                                                                 "there is no such field; there are ca",
		head + "    heartbeat: 5":                                                                      "use a duration",
	} {
		err := new(Plan).parse([]byte(text), dir, quiet, []string{"echo"})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s\ngives %v, want %s", text, err, want)
		}
	}
}

// TestCredentials are read anew for each connection.
func TestCredentials(t *testing.T) {
	dir := secrets(t)
	r := &reader{plan: new(Plan), dir: dir, log: quiet, taken: map[string]string{}}
	p, err := parseOne("credentials: rabbit.txt")
	if err != nil {
		t.Fatal(err)
	}
	read, err := r.credentials(p)
	if err != nil {
		t.Fatal(err)
	}
	if user, password, err := read(); user != "me" || password != "s3:cret" || err != nil {
		t.Errorf("got %s, %s, %v", user, password, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rabbit.txt"), []byte("you:new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if user, password, err := read(); user != "you" || password != "new" || err != nil {
		t.Errorf("got %s, %s, %v", user, password, err)
	}
}

func parseOne(text string) (yamlfile.Entry, error) {
	all, err := yamlfile.Parse([]byte(text), "x")
	if err != nil {
		return yamlfile.Entry{}, err
	}
	return all[0], nil
}
