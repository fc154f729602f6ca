//go:build unix

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/processtest"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/forward"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// billingEnv has the test binary be a worker of the service: where NATS, the FTP
// server and the endpoint are.
const billingEnv = "BELLHOP_TEST_BILLING"

// The service's credentials, which nobody else has any business with.
const (
	password = "s3cret-of-ftp"
	token    = "s3cret-of-crm"
	wrong    = "s3cret-of-old" // which the FTP server refuses
)

func TestMain(m *testing.M) {
	if where := os.Getenv(billingEnv); where != "" {
		if err := beBilling(strings.Fields(where)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	natstest.Main(m)
}

// beBilling runs the worker until standard input ends.
func beBilling(where []string) error {
	nc, err := nats.Connect(where[0], nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	crm, err := forward.New(where[2], forward.Options{Header: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	w := workers.New(nc, workers.Options{AckWait: 2 * time.Second, Backoff: 100 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	w.HandleWith("billing", &billing{
		server: where[1], user: "anonymous", password: password, endpoints: map[string]*forward.Endpoint{"crm": crm},
	}, workers.ServiceOptions{Attempts: 20})
	return w.Run(ctx)
}

// posted is a request that the endpoint got.
type posted struct{ key, channel, kind, auth, body string }

// office is all that the service has to do with: NATS, a scheduler, an FTP server,
// an endpoint.
type office struct {
	t      *testing.T
	nc     *nats.Conn
	js     jetstream.JetStream
	url    string
	dir    string // of the FTP server
	ftp    string
	api    *httptest.Server
	posts  chan posted
	log    bytes.Buffer                                 // of the workers, to be read when they are fired
	answer func(w http.ResponseWriter, r *http.Request) // nil: thanks
	mu     sync.Mutex
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir(), posts: make(chan posted, 100)}
	o.url = natstest.StartProcess(t, natstest.ProcessOptions{}).URL
	nc, err := nats.Connect(o.url)
	o.ok(err)
	t.Cleanup(nc.Close)
	o.nc = nc
	o.js, err = jetstream.New(nc)
	o.ok(err)
	o.ok(scheduler.Setup(t.Context(), o.js, scheduler.Options{}))
	o.ftp = freeAddr(t)
	o.api = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.api.Close)
	return o
}

func (o *office) ok(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.posts <- posted{r.Header.Get("Idempotency-Key"), r.Header.Get(workers.HeaderChannel), r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(body)}
	o.mu.Lock()
	answer := o.answer
	o.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	io.WriteString(w, "thanks")
}

// answers has the endpoint answer so from now on.
func (o *office) answers(f func(http.ResponseWriter, *http.Request)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = f
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// openFTP starts vsftpd, which serves a directory to everybody.
func (o *office) openFTP() *os.Process {
	o.t.Helper()
	program, err := exec.LookPath("vsftpd")
	if err != nil {
		program = "/usr/sbin/vsftpd" // which is not in everybody's PATH
	}
	_, port, _ := net.SplitHostPort(o.ftp)
	etc := o.t.TempDir()
	conf, banned := filepath.Join(etc, "vsftpd.conf"), filepath.Join(etc, "banned")
	o.ok(os.WriteFile(banned, []byte(wrong+"\n"), 0o600))
	o.ok(os.WriteFile(conf, []byte(strings.Join([]string{
		"listen=YES", "listen_address=127.0.0.1", "listen_port=" + port, "background=NO", "run_as_launching_user=YES",
		"anonymous_enable=YES", "anon_root=" + o.dir, "local_enable=NO", "seccomp_sandbox=NO",
		"deny_email_enable=YES", "banned_email_file=" + banned, "",
	}, "\n")), 0o600))
	c := exec.Command(program, conf)
	c.Stdout, c.Stderr, c.SysProcAttr = o.t.Output(), o.t.Output(), child()
	if err := c.Start(); err != nil {
		o.t.Fatalf("these tests need vsftpd (apt-get install vsftpd): %v", err)
	}
	o.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c.Process
}

// file puts a file where the FTP server has it.
func (o *office) file(name, text string) {
	o.t.Helper()
	o.ok(os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o644))
}

// hire starts a worker; fire kills it. There is one at a time.
func (o *office) hire() (fire func()) {
	o.t.Helper()
	self, err := os.Executable()
	o.ok(err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), billingEnv+"="+strings.Join([]string{o.url, o.ftp, o.api.URL}, " "))
	c.Stderr = io.MultiWriter(o.t.Output(), &o.log)
	in, err := c.StdinPipe()
	o.ok(err)
	o.ok(c.Start())
	fire = sync.OnceFunc(func() { c.Process.Kill(); c.Wait(); in.Close() })
	o.t.Cleanup(fire)
	return fire
}

// schedule runs a scheduler, and has it ring a job once.
func (o *office) schedule(file string) {
	o.t.Helper()
	s, err := scheduler.New(o.nc, scheduler.Options{})
	o.ok(err)
	ctx, stop := context.WithCancel(context.WithoutCancel(o.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			o.t.Error(err)
		}
	})
	o.t.Cleanup(func() { stop(); running.Wait() })
	_, err = scheduler.NewClient(o.nc, "").Create(o.t.Context(), &scheduler.Job{
		Name: "Invoices", Service: "billing", Payload: scheduler.Text(order(file)),
		Schedule: scheduler.Schedule{Every: scheduler.Duration(100 * time.Millisecond), MaxRuns: 1},
	})
	o.ok(err)
}

func order(file string) string {
	b, _ := json.Marshal(map[string]string{"file": file, "to": "crm"}) // texts alone
	return string(b)
}

func (o *office) post() posted {
	o.t.Helper()
	select {
	case p := <-o.posts:
		return p
	case <-time.After(time.Minute):
		o.t.Fatal("nothing is posted")
		return posted{}
	}
}

// end waits for the end of a run, after which nothing is posted.
func (o *office) end(run string) *workers.Run {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	var end *workers.Run
	for e, err := range workers.Follow(ctx, o.nc, o.js, "", run) {
		o.ok(err)
		end = e.Record
	}
	return end
}

// failed waits for the record of a run's first attempt.
func (o *office) failed(run string) (first *workers.Run) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	history, err := workers.OpenHistory(ctx, o.js, "")
	o.ok(err)
	o.ok(history.Follow(ctx, workers.RunFilter{Run: run}, 0, func(r *workers.Run) bool {
		first = r
		return false
	}))
	if first == nil {
		o.t.Fatalf("no attempt of %s ends", run)
	}
	return first
}

// ring rings with an order of its own type, as a channel does.
func (o *office) ring(id, payload string, p workers.Policy) (run string) {
	o.t.Helper()
	run, err := workers.NewDispatcher(o.js, "").Ring(o.t.Context(), workers.Ring{
		Channel: "cli", Service: "billing", ID: id, Payload: []byte(payload), Policy: p,
		Header: nats.Header{"Content-Type": {"application/json"}, "content-type": {"application/json"}},
	})
	o.ok(err)
	return run
}

const (
	invoices = "number,customer,amount\n1,\"Ada, Countess\",7.50\n2,Grace,12\n"
	thanks   = "3 rows, 57 bytes posted: thanks"
)

// The same service is rung by a schedule, by the command line and by a direct
// call; it need not know.
func TestBillingIsRungByAnybody(t *testing.T) {
	o := newOffice(t)
	o.openFTP()
	o.file("invoices.csv", invoices)
	o.hire()
	o.schedule("invoices.csv")
	got := map[string]posted{"scheduler": o.post()}
	if end := o.end(got["scheduler"].key); end.Outcome != workers.OutcomeOK || end.Output != thanks {
		t.Errorf("scheduler: %s %q %s", end.Outcome, end.Output, end.Error)
	}

	bellhop, remove, err := processtest.Build("../bellhop")
	t.Cleanup(remove)
	o.ok(err)
	for _, args := range [][]string{{"trigger", "--follow"}, {"call"}} {
		c := exec.CommandContext(t.Context(), bellhop, append([]string{"service", args[0], "billing", order("invoices.csv")}, args[1:]...)...)
		c.Env = []string{"HOME=" + t.TempDir(), "BELLHOP_NATS_URL=" + o.url}
		out, err := c.Output()
		if err != nil || string(out) != thanks {
			t.Errorf("service %s: %q, %v", args[0], out, err)
		}
		got["service "+args[0]] = o.post()
	}
	m, err := o.nc.Request("bellhop.call.billing", []byte(order("invoices.csv")), time.Minute) // nats req
	if err != nil || string(m.Data) != thanks {
		t.Errorf("called directly: %v", err)
	}
	got["nats req"] = o.post()

	channels, keys := map[string]string{}, map[string]bool{}
	for by, p := range got {
		channels[by] = p.channel
		keys[p.key] = true
		if p.body != invoices || p.kind != "text/csv" || p.auth != "Bearer "+token {
			t.Errorf("%s: %+v", by, p)
		}
	}
	want := map[string]string{"scheduler": "scheduler", "service trigger": "cli", "service call": "call", "nats req": "call"}
	if len(keys) != 4 || keys[""] || !maps.Equal(channels, want) || len(o.posts) > 0 {
		t.Errorf("keys %v, channels %v, %d more posts", keys, channels, len(o.posts))
	}
}

// What passes is tried again: an FTP server that is away or frozen, an endpoint
// that is busy or does not answer. The endpoint gets the same key each time.
func TestBillingIsTriedAgain(t *testing.T) {
	o := newOffice(t)
	o.file("invoices.csv", invoices)
	o.hire()

	run := o.ring("early", order("invoices.csv"), workers.Policy{})
	if r := o.failed(run); r.Outcome != workers.OutcomeFailed || !strings.Contains(r.Error, "connection refused") {
		t.Errorf("without an FTP server: %s %s", r.Outcome, r.Error)
	}
	server := o.openFTP()
	if end := o.end(run); end.Outcome != workers.OutcomeOK || end.Attempt < 2 || end.Output != thanks {
		t.Errorf("with one: %+v", end)
	}
	if p := o.post(); p.key != run || p.kind != "text/csv" {
		t.Errorf("with one: %+v", p)
	}

	short := workers.Policy{Timeout: "1s"}
	o.ok(server.Signal(syscall.SIGSTOP)) // the kernel still takes connections for it
	run = o.ring("frozen", order("invoices.csv"), short)
	if r := o.failed(run); r.Outcome != workers.OutcomeTimeout || !strings.Contains(r.Error, "fetch the file: ") { // or the worker gave up
		t.Errorf("with a frozen FTP server: %s %s", r.Outcome, r.Error)
	}
	o.ok(server.Signal(syscall.SIGCONT))
	if end := o.end(run); end.Outcome != workers.OutcomeOK || end.Attempt < 2 {
		t.Errorf("with one that was frozen: %+v", end)
	}
	o.post()

	o.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	run = o.ring("silent", order("invoices.csv"), short)
	first := o.post()
	if r := o.failed(run); r.Outcome != workers.OutcomeTimeout || !strings.Contains(r.Error, "post to ") {
		t.Errorf("with a silent endpoint: %s %s", r.Outcome, r.Error)
	}
	o.answers(nil)
	if end := o.end(run); end.Outcome != workers.OutcomeOK || end.Attempt < 2 {
		t.Errorf("with one that answers again: %+v", end)
	}
	for again := true; again; again = len(o.posts) > 0 { // a slow machine may have tried more often
		if p := o.post(); p != first || p.key != run {
			t.Errorf("first %+v, then %+v", first, p)
		}
	}

	o.answers(func(w http.ResponseWriter, _ *http.Request) {
		o.answers(nil)
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	run = o.ring("busy", order("invoices.csv"), workers.Policy{})
	end := o.end(run)
	first, second := o.post(), o.post()
	if end.Outcome != workers.OutcomeOK || end.Attempt != 2 || first != second || first.key != run || len(o.posts) > 0 {
		t.Errorf("%s at attempt %d; %+v, then %+v, then %d more", end.Outcome, end.Attempt, first, second, len(o.posts))
	}
	busy := o.failed(run)
	if wait := end.Started.Sub(busy.Finished); wait < time.Second { // the backoff is a tenth of it
		t.Errorf("asked to wait for 1s, it waited for %s", wait)
	}
}

// What does not pass is a dead letter at once, which says why and has the order.
// No log line of the worker has any of it.
func TestBillingHasFailedForGood(t *testing.T) {
	o := newOffice(t)
	o.openFTP()
	o.file("invoices-of-ada.csv", invoices)
	o.file("notes-of-ada.csv", "\"a\nb")
	o.file("much-of-ada.csv", "")
	o.ok(os.Truncate(filepath.Join(o.dir, "much-of-ada.csv"), maxFile+1))
	fire := o.hire()
	o.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	reasons := make(map[string]string)
	for payload, want := range map[string]string{
		order("nothing-of-ada.csv"):                  "fetch the file: 550 ",
		order("ada.csv\r\nDELE notes-of-ada.csv"):    "contains CR or LF",
		order("much-of-ada.csv"):                     "more than 16777216 bytes",
		order("notes-of-ada.csv"):                    "the file is no CSV",
		order("invoices-of-ada.csv"):                 "answers 422",
		order(""):                                    `say which "file"`,
		`{"file": "of-ada.csv"}`:                     `"to" which of ["crm"]`,
		`{"file": "of-ada.csv", "to": "http://ada"}`: `"to" which of ["crm"]`,
		`{"file": 17, "to": "crm"}`:                  "string is expected",
		"invoices-of-ada.csv":                        "malformed JSON",
	} {
		run := o.ring("", payload, workers.Policy{})
		end := o.end(run)
		if end.Outcome != workers.OutcomeDead || end.Attempt != 1 || !strings.Contains(end.Error, want) {
			t.Errorf("%s: %s at attempt %d: %s", payload, end.Outcome, end.Attempt, end.Error)
		}
		reasons[run] = payload
	}
	letters, err := workers.OpenLetters(t.Context(), o.js, "")
	o.ok(err)
	for l, err := range letters.List(t.Context(), workers.LetterFilter{}) {
		o.ok(err)
		full, err := letters.Get(t.Context(), l.ID)
		o.ok(err)
		if full.Payload != reasons[l.Run] || full.Reason == "" || full.Attempts != 1 {
			t.Errorf("dead letter %+v", full)
		}
		delete(reasons, l.Run)
	}
	if len(reasons) > 0 || len(o.posts) != 1 { // the one that is refused
		t.Errorf("no dead letters of %v; %d posts", reasons, len(o.posts))
	}
	fire()
	for _, word := range []string{"of-ada", "s3cret"} {
		if log := o.log.String(); log == "" || strings.Contains(log, word) {
			t.Errorf("%q is in the log:\n%s", word, log)
		}
	}

	b := &billing{server: o.ftp, user: "anonymous", password: wrong}
	if _, err := b.fetch(t.Context(), "notes-of-ada.csv"); !workers.IsPermanent(err) || !strings.HasPrefix(err.Error(), "530 ") {
		t.Errorf("with a wrong password: %v", err)
	}
}

// A worker that is killed while it posts: another one does, under the same key.
func TestBillingIsKilled(t *testing.T) {
	o := newOffice(t)
	o.openFTP()
	o.file("invoices.csv", invoices)
	o.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	fire := o.hire()
	run := o.ring("killed", order("invoices.csv"), workers.Policy{})
	first := o.post()
	fire()
	o.answers(nil)
	o.hire()
	second := o.post()
	end := o.end(run)
	if end.Outcome != workers.OutcomeOK || end.Attempt != 2 || first != second || first.key != run || len(o.posts) > 0 {
		t.Errorf("%s at attempt %d; %+v, then %+v, then %d more", end.Outcome, end.Attempt, first, second, len(o.posts))
	}
}
