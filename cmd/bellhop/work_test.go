package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// request asks as `nats req` does.
func request(t *testing.T, url, subject, body string) string {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.Request(subject, []byte(body), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Nats-Service-Error") != "" {
		t.Fatalf("%s: %s", subject, m.Data)
	}
	return string(m.Data)
}

// upServer runs bellhop up and gives where its NATS server is, once every
// service that it greets with has its worker.
func upServer(t *testing.T, more ...string) (p *running, url string) {
	t.Helper()
	return upServerOf(t, environment(t, more...))
}

func upServerOf(t *testing.T, env []string) (p *running, url string) {
	t.Helper()
	p = start(t, env, "up")
	url = p.await(t, `NATS +(nats://\S+),`)[1]
	waiting := make(map[string]bool)
	for service := range strings.SplitSeq(p.await(t, `^  services +(.*)$`)[1], ", ") {
		waiting[service] = true
	}
	p.await(t, `^  bellhop job create `)
	for len(waiting) > 0 {
		for service := range strings.FieldsSeq(p.awaitError(t, `msg="worker started".* services="?\[([^]]*)\]`)[1]) {
			delete(waiting, service)
		}
	}
	return p, url
}

// block gives the README's code of a language that begins so.
func block(t *testing.T, language, begins string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, found, ok := strings.Cut(string(text), "```"+language+"\n"+begins)
	if !ok {
		t.Fatalf("the README has no %s that begins with %q", language, begins)
	}
	code, _, _ := strings.Cut(found, "```")
	return begins + code
}

// TestWork types the README's command into a shell, and has a schedule ring it.
func TestWork(t *testing.T) {
	t.Parallel()
	_, url := upServer(t)
	bin := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(bin, "bellhop")); err != nil {
		t.Fatal(err)
	}
	// exec, so that Ctrl-C comes to bellhop and not to the shell.
	p := startProcess(t, environment(t, "BELLHOP_NATS_URL="+url, "PATH="+bin+":"+os.Getenv("PATH"), "BELLHOP_HTTP_ADDR="),
		"/bin/sh", "-c", "exec "+block(t, "sh", "bellhop work "))
	p.await(t, `^greet is run by sh -c .*, 8 at a time, on nats://.* Ctrl-C stops\.$`)
	request(t, url, "bellhop.jobs.create", `{"name":"My Job","service":"greet","schedule":{"every":"1s"},"payload":"hello"}`)
	p.await(t, `^\d\d:\d\d:\d\d\.\d{3} +\+\S+  My Job +greet +ok +\S+$`)
	p.await(t, `  My Job +greet +ok `)
	if got := request(t, url, "bellhop.call.greet", "hi"); got != " says hi\n" {
		t.Errorf("a call is answered with %q", got)
	}
	p.interrupt(t)
	p.await(t, "^draining")
	p.await(t, `^bye: \d+ runs, all ok$`)
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}
}

// TestWorkRetries has a program fail for a while and then for good.
func TestWorkRetries(t *testing.T) {
	t.Parallel()
	_, url := upServer(t)
	p := start(t, environment(t, "BELLHOP_NATS_URL="+url), "work", "a.b", "--attempts=2", "--name", "w1", "--",
		"sh", "-c", `echo "attempt $TRIGGER_ATTEMPT" >&2; exit "$(cat)"`)
	p.await(t, "^a.b is run by")
	for code, want := range map[string]string{"1": `a\.b +dead .* exit status 1: attempt 2`, "65": `a\.b +dead .* exit status 65: attempt 1`} {
		request(t, url, "bellhop.jobs.put", fmt.Sprintf(
			`{"name":"j%s","service":"a.b","payload":"%s","retry":{"backoff":"1ms"},"schedule":{"every":"100w"}}`, code, code))
		request(t, url, "bellhop.jobs.run", fmt.Sprintf(`{"name":"j%s"}`, code))
		p.await(t, want)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.await(t, `^bye: 3 runs, 3 not ok$`)
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}
	if !strings.Contains(p.said(), `line="attempt 1"`) {
		t.Error("standard error is not its log")
	}
}

// TestWorkTwiceInterrupted leaves nothing behind, though the program heeds
// nothing.
func TestWorkTwiceInterrupted(t *testing.T) {
	t.Parallel()
	_, url := upServer(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, environment(t, "BELLHOP_NATS_URL="+url), "work", "stuck", "--",
		"sh", "-c", `trap "" TERM INT; exec 9>"$1"; (while :; do sleep 1; done) & echo here >&9; wait`, "sh", pipe)
	p.await(t, "^stuck is run by")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("bellhop.ring.cli.stuck", nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(pipe) // when the program has opened it, too
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if line, err := r.ReadString('\n'); line != "here\n" {
		t.Fatalf("%q, %v", line, err)
	}
	p.interrupt(t)
	p.await(t, "^draining")
	p.interrupt(t)
	if code := p.exits(); code != 128+int(syscall.SIGINT) {
		t.Errorf("exits with %d", code)
	}
	if _, err := io.ReadAll(r); err != nil { // to its end: nobody holds it
		t.Error(err)
	}
}

// TestWorkRefuses sees what cannot be right told before anything is connected.
func TestWorkRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"work", "expected"},
		{"work s", "expected"},
		{"work s --", "say what to run"},
		{"work s -- no-such-program-anywhere x", `CMD="no-such-program-anywhere": find the program`},
		{"work a..b -- sh", `SERVICE="a..b"`},
		{"work s --concurrency=0 -- sh", `--concurrency="0"`},
		{"work s --fleet=-1 -- sh", `--fleet="-1"`},
		{"work s --rate=10 -- sh", `--rate="10": use a whole number of runs`},
		{"work s --timeout=-1s -- sh", `--timeout="-1s"`},
		{"work s --attempts=-1 -- sh", `--attempts="-1"`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			p := start(t, environment(t), strings.Fields(tt.args)...)
			if code := p.exits(); code != 2 || !strings.Contains(p.said(), tt.want) {
				t.Errorf("exits with %d, says %s", code, p.said())
			}
		})
	}
}

// TestUpServices runs the README's file, with an endpoint that is there.
func TestUpServices(t *testing.T) {
	t.Parallel()
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, _ := io.ReadAll(r.Body)
		signature, _, _ := strings.Cut(r.Header.Get("Webhook-Signature"), ",")
		fmt.Fprintf(w, "%s %s %s %s", r.URL.Path, r.Header.Get("Authorization"), signature, payload)
	}))
	defer crm.Close()
	dir := t.TempDir()
	text := strings.NewReplacer("https://crm.example", crm.URL, "/srv/billing", "srv").Replace(block(t, "yaml", "billing:\n"))
	if err := os.Mkdir(filepath.Join(dir, "srv"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"services.yaml": text,
		"crm.secrets":   "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
		"srv/bill.sh":   "#!/bin/sh\necho \"$1 $LANG $TRIGGER_CHANNEL\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p, url := upServer(t, "BELLHOP_SERVICES="+filepath.Join(dir, "services.yaml"))
	if !strings.Contains(p.said(), "services  log-input, echo, billing, greet, crm") {
		t.Error("it does not greet with its services")
	}
	for service, want := range map[string]string{
		"billing": "--fast C.UTF-8 call\n", "greet": " says hi\n", "crm": "/hook Bearer secret v1 hi", "echo": "hi",
	} {
		if got := request(t, url, "bellhop.call."+service, "hi"); got != want {
			t.Errorf("%s: %q, want %q", service, got, want)
		}
	}
	request(t, url, "bellhop.jobs.create", `{"name":"b","service":"billing","schedule":{"every":"1s"}}`)
	p.await(t, `  b +billing +ok `)
	p.interrupt(t)
	p.await(t, `^bye: \d+ runs, all ok$`)
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}

	if err := os.WriteFile(filepath.Join(dir, "services.yaml"), []byte("a:\n  comand: [cat]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, environment(t, "BELLHOP_SERVICES="+filepath.Join(dir, "services.yaml")), "up")
	if code := p.exits(); code != 2 || !strings.Contains(p.said(), "services.yaml\": line 2: a.comand: there is no such field") {
		t.Errorf("exits with %d, says %s", code, p.said())
	}
}
