package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// many is how many jobs the browser is shown.
const many = 100_000

// hostile is a name, a payload and a label that would do harm if it were not
// shown as text.
const hostile = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"'&`

// site is a Bellhop with a page, and a browser that looks at it.
type site struct {
	*testing.T
	ctx    context.Context // the browser's
	base   string
	client *scheduler.Client
	nc     *nats.Conn
	js     jetstream.JetStream
	hold   chan struct{} // the slow service ends with it
	away   atomic.Value  // why the channel is, in words

	mu    sync.Mutex
	wrong []string // what the console has said
}

// prefix is under which the pages are served, as by a proxy.
const prefix = "/some/where"

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, hold: make(chan struct{})}
	s.away.Store("connection refused")
	server := natstest.Start(t)
	s.nc = server.Connect()
	var err error
	s.js, err = jetstream.New(s.nc)
	s.ok(err)
	s.ok(scheduler.Setup(t.Context(), s.js, scheduler.Options{}))
	s.seed()
	sched, err := scheduler.New(server.Connect(nats.ReconnectBufSize(-1)), scheduler.Options{})
	s.ok(err)
	handler, err := web.New(s.nc, web.Options{
		Prefix: func(*http.Request) string { return prefix },
		Caller: func(*http.Request) web.Caller { return web.Caller{Name: "ann", Role: web.Admin} },
		Channels: func(context.Context) ([]web.Channel, error) {
			return []web.Channel{{Name: "shop", Kind: "amqp", LastError: s.away.Load().(string)}}, nil
		},
	})
	s.ok(err)
	w := workers.New(s.nc, workers.Options{})
	w.HandleFunc("echo", func(_ context.Context, m *workers.Trigger) ([]byte, error) { return m.Payload, nil })
	w.HandleFunc("fails", func(context.Context, *workers.Trigger) ([]byte, error) {
		return nil, workers.Permanent(errors.New(hostile))
	})
	w.HandleFunc("slow", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		workers.Log(ctx, "begun "+hostile)
		workers.Report(ctx, 0.25, "a quarter")
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.hold:
			workers.Log(ctx, "over")
			return []byte("done"), nil
		}
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{sched.Run, handler.Run, w.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	<-sched.Ready()
	s.client = scheduler.NewClient(s.nc, "")
	front := httptest.NewServer(http.StripPrefix(prefix, handler))
	t.Cleanup(front.Close)
	s.base = front.URL + prefix + "/ui"
	s.index()
	s.browse()
	return s
}

// seed puts many jobs into the bucket before anything runs.
func (s *site) seed() {
	s.Helper()
	b, err := kv.Open[[]byte](s.Context(), s.js, "bellhop-jobs")
	s.ok(err)
	for from := 0; from < many; from += kv.MaxBatch {
		changes := make([]kv.Change[[]byte], kv.MaxBatch)
		for i := range changes {
			n := from + i
			def := fmt.Sprintf(`{"service":"service-%d","schedule":{"cron":"%d %d * * *"},"labels":{"team":"t%d"}}`, n%50, n%60, n/60%24, n%7)
			changes[i] = kv.Change[[]byte]{Key: fmt.Sprintf("job-%06d", n), Value: []byte(def)}
		}
		_, err := b.Apply(s.Context(), changes)
		s.ok(err)
	}
}

// index has the jobs read, which is done for who asks first: with the race detector,
// and a leader that records as many changes meanwhile, it takes longer than a request
// is let wait.
func (s *site) index() {
	s.Helper()
	for status := http.StatusServiceUnavailable; status != http.StatusOK; {
		r, err := http.Get(s.base + "/")
		s.ok(err)
		s.ok(r.Body.Close())
		if status = r.StatusCode; status != http.StatusOK && status != http.StatusServiceUnavailable {
			s.Fatalf("the overview is answered with %s", r.Status)
		}
	}
}

// browse starts a browser. On a machine that has never started it, and is busy, that
// alone may take longer than any step afterwards.
func (s *site) browse() {
	s.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		s.Fatal("no chromium to look with: install it (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 900), chromedp.UserDataDir(s.TempDir()), chromedp.WSURLReadTimeout(3*time.Minute),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(s.Context()), options...)
	s.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	s.Cleanup(cancel)
	s.ok(chromedp.Do(ctx))
	s.ctx = ctx
	messages := chromedp.Console(ctx)
	go func() { // it ends with ctx
		for m, err := range messages {
			if err != nil {
				return
			}
			s.mu.Lock()
			s.wrong = append(s.wrong, m.String()+" "+m.URL)
			s.mu.Unlock()
		}
	}()
}

func (s *site) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// do has the browser do something.
func (s *site) do(steps ...step) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		s.Fatal(err)
	}
}

// step is something that a browser does, patience how long it may take.
type step = chromedp.Action[chromedp.Void]

const patience = time.Minute

// get has the browser answer something.
func get[T any](s *site, a chromedp.Action[T]) T {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// open goes to a page.
func (s *site) open(path string) {
	s.Helper()
	s.do(chromedp.Navigate(s.base+path), chromedp.WaitVisible(chromedp.CSS("main")))
}

// see waits until a part of the page holds a text.
func (s *site) see(selector, text string) {
	s.Helper()
	quoted, _ := json.Marshal([]string{selector, text})
	script := `(([s, t]) => [...document.querySelectorAll(s)].some((e) => e.textContent.includes(t)))(` + string(quoted) + `)`
	s.until(script, fmt.Sprintf("%q is not seen at %s", text, selector))
}

// is waits until a part of the page is a text.
func (s *site) is(selector, text string) {
	s.Helper()
	quoted, _ := json.Marshal([]string{selector, text})
	script := `(([s, t]) => [...document.querySelectorAll(s)].some((e) => e.textContent.trim() === t))(` + string(quoted) + `)`
	s.until(script, fmt.Sprintf("%s is not %q", selector, text))
}

// until waits for a script to be true, on whatever page is there by then.
func (s *site) until(script, what string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](script, chromedp.WithPollingTimeout(patience)))
		if err == nil {
			return
		}
		if ctx.Err() != nil || strings.Contains(err.Error(), "timeout") { // else the page was left meanwhile
			s.Fatalf("%s: %v\n%s", what, err, get(s, chromedp.Evaluate[string](`location + "\n" + document.querySelector("main").innerText`)))
		}
	}
}

// click clicks, and waits for the page that it leads to.
func (s *site) click(selector string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible)); err != nil {
		s.Fatalf("click %s: %v", selector, err)
	}
	s.do(chromedp.WaitVisible(chromedp.CSS("main")))
}

// fill writes into a field in place of what is there.
func (s *site) fill(selector, text string) {
	s.Helper()
	quoted, _ := json.Marshal([]string{selector, text})
	s.value(`(([s, t]) => { const e = document.querySelector(s); e.value = t; e.dispatchEvent(new Event("input", {bubbles: true})); })(` + string(quoted) + `)`)
}

// value evaluates a script.
func (s *site) value(script string) any {
	s.Helper()
	return get(s, chromedp.Evaluate[any](script))
}

// picture keeps what is seen.
func (s *site) picture(name string) {
	s.Helper()
	png := get(s, chromedp.FullScreenshot(100))
	dir := s.ArtifactDir()
	s.ok(os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
	if to := os.Getenv("BELLHOP_TEST_PICTURE"); to != "" && name == "overview" {
		s.ok(os.WriteFile(to, png, 0o644))
	}
}

// quiet fails where the console has said anything, or a script of a user's ran.
func (s *site) quiet() {
	s.Helper()
	if s.value(`window.pwned === undefined`) != true {
		s.Error("what a user wrote was run")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.wrong {
		s.Error("the console says: " + text)
	}
	s.wrong = nil
}

// said waits until the console has said what it always does of a refusal, and
// forgets it.
func (s *site) said(text string) {
	s.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.wrong)
		s.wrong = slices.DeleteFunc(s.wrong, func(w string) bool { return strings.Contains(w, text) })
		found := len(s.wrong) < n
		s.mu.Unlock()
		if found {
			return
		}
	}
	s.Error("the console has not said " + text)
}

func about(page, name string) string { return page + "?name=" + url.QueryEscape(name) }

// TestDashboard uses every page and every action in a browser.
func TestDashboard(t *testing.T) {
	s := newSite(t)
	every := scheduler.Schedule{Every: scheduler.Duration(time.Hour)}
	_, err := s.client.Create(t.Context(), &scheduler.Job{Name: hostile, Service: "echo", Schedule: every, Payload: scheduler.Text(hostile), Labels: map[string]string{"x": hostile}, Description: hostile})
	s.ok(err)
	for _, name := range []string{"slow", "fails"} {
		_, err = s.client.Create(t.Context(), &scheduler.Job{Name: name, Service: name, Schedule: every})
		s.ok(err)
	}
	t.Run("overview", func(t *testing.T) { s.T = t; s.overview() })
	t.Run("jobs", func(t *testing.T) { s.T = t; s.list() })
	t.Run("hostile", func(t *testing.T) { s.T = t; s.hostile() })
	t.Run("job", func(t *testing.T) { s.T = t; s.life() })
	t.Run("run", func(t *testing.T) { s.T = t; s.run() })
	t.Run("letters", func(t *testing.T) { s.T = t; s.letters() })
	t.Run("looks", func(t *testing.T) { s.T = t; s.looks() })
	s.T = t
}

// overview counts, links, and follows what happens; and does not while it is
// paused.
func (s *site) overview() {
	s.open("/")
	s.is("#active", fmt.Sprint(many+3))
	s.is("#runs", "0")
	_, err := s.client.Run(s.Context(), hostile, nil)
	s.ok(err)
	s.is("#runs", "1")
	s.see("main", "amqp shop")
	s.do(chromedp.KeyEvent("p"))
	s.see("#pause", "Paused")
	_, err = s.client.Deactivate(s.Context(), "job-000000")
	s.ok(err)
	s.is("#active", fmt.Sprint(many+3))
	s.do(chromedp.KeyEvent("p"))
	s.is("#active", fmt.Sprint(many+2))
	_, err = s.client.Activate(s.Context(), "job-000000", nil)
	s.ok(err)
	s.is("#active", fmt.Sprint(many+3))
	s.picture("overview")
	s.away.Store(hostile)
	s.click(`a[href$="/jobs?state=active"]`)
	s.is("#total", fmt.Sprint(many+3))
	s.quiet()
}

// list searches, orders, turns pages, and changes many.
func (s *site) list() {
	s.open("/jobs")
	s.is("#total", fmt.Sprint(many+3))
	s.do(chromedp.KeyEvent("/"))
	s.until(`document.activeElement.id === "search"`, "the search is not reached by its key")
	s.fill("#search", "")
	s.do(chromedp.SendKeys(chromedp.CSS("#search"), "job-04242"+kb.Enter))
	s.is("#total", "10")
	if here := s.value(`location.search`).(string); !strings.Contains(here, "search=job-04242") {
		s.Error("the filter is not in the address: " + here)
	}
	s.do(chromedp.Click(chromedp.CSS("#all")))
	s.see("#chosen", "10 selected")
	s.picture("jobs")
	s.click(`#bulk button[value=deactivate]`)
	s.see("h1", "deactivate 10 jobs?")
	s.click(`button[name=sure]`)
	s.see("h1", "deactivate: 10 jobs")
	j, err := s.client.Get(s.Context(), "job-042425")
	s.ok(err)
	if j.Reason != scheduler.ReasonDeactivated {
		s.Errorf("it is %s %s", j.State, j.Reason)
	}
	s.open("/jobs?reason=deactivated")
	s.is("#total", "10")
	for _, what := range []string{"run", "activate"} {
		s.open("/jobs?search=job-04242")
		s.do(chromedp.Click(chromedp.CSS("#all")))
		s.click(`#bulk button[value=` + what + `]`)
		s.click(`button[name=sure]`)
		s.see("h1", what+": 10 jobs")
	}
	s.open("/jobs?search=job-04242&state=active")
	s.is("#total", "10")
	s.do(chromedp.Click(chromedp.CSS("#all")))
	s.click(`#bulk button[value=delete]`)
	s.see("h1", "delete 10 jobs?")
	s.click(`button[name=sure]`)
	s.open("/jobs?search=job-04242")
	s.is("#total", "0")
	s.open("/jobs?service=service-7&order=-name")
	s.is("#total", fmt.Sprint(many/50))
	s.see("tbody tr:first-child", "job-099957")
	s.click("#next")
	s.see("tbody tr:first-child", "job-094957")
	s.quiet()
}

// hostile shows what would do harm as text, everywhere.
func (s *site) hostile() {
	for _, page := range []string{about("/job", hostile) + "&payload=text", "/jobs?search=onerror", "/runs", "/channels", "/changes", about("/edit", hostile)} {
		s.open(page)
		if got := s.value(`document.querySelector("main").innerHTML.includes("window.pwned") && !document.querySelector("main img, main script")`); got != true {
			s.Errorf("%s: the text is not there, or it is more than text", page)
		}
	}
	s.open(about("/job", hostile) + "&payload=text")
	if got := s.value(`document.querySelector("[data-shown=text]").textContent`); got != hostile {
		s.Errorf("the payload is shown as %v", got)
	}
	s.open(about("/job", hostile) + "&payload=hex")
	s.see("[data-shown=hex]", "3c 69 6d 67")
	s.open(about("/job", hostile))
	if s.value(`document.querySelector("[data-shown]")`) != nil {
		s.Error("the payload is shown unasked")
	}
	s.quiet()
}

// life takes a job through its life.
func (s *site) life() {
	s.open("/new")
	s.do(
		chromedp.SendKeys(chromedp.CSS("[name=name]"), "My report"), chromedp.SendKeys(chromedp.CSS("[name=service]"), "echo"),
		chromedp.Click(chromedp.CSS("[name=kind][value=cron]")), chromedp.SendKeys(chromedp.CSS("[name=cron]"), "30 2 * 3 0"), chromedp.SendKeys(chromedp.CSS("[name=time_zone]"), "Europe/Prague"),
		chromedp.SendKeys(chromedp.CSS("[name=payload]"), "first"),
	)
	s.see("#preview", "Sunday")
	s.see("#preview", "The clock goes from 02:00 to 03:00")
	if n := s.value(`document.querySelectorAll("#preview tr").length`); n != 10.0 {
		s.Errorf("%v times are shown, want 10", n)
	}
	s.picture("new")
	s.fill("[name=cron]", "nonsense")
	s.see("#preview .bad", "nonsense")
	s.click("button[value=save]")
	s.see("[role=alert]", "nonsense")
	s.said("400")
	s.fill("[name=cron]", "0 5 * * *")
	s.click("button[value=save]")
	s.see("[role=status]", "It is saved.")
	s.see("#words", "at 05:00")
	first, err := s.client.Get(s.Context(), "My report")
	s.ok(err)
	s.do(chromedp.Navigate(s.base + about("/edit", "My report")))
	s.do(chromedp.WaitVisible(chromedp.CSS("[name=service]")))
	s.fill("[name=service]", "slow")
	s.fill("[name=labels]", "a=b")
	s.fill("[name=attempts]", "3")
	s.click("button[value=save]")
	s.see("#live", "a=b")
	j, err := s.client.Get(s.Context(), "My report")
	s.ok(err)
	if j.Service != "slow" || string(j.Payload) != `"first"` || j.Retry == nil || j.Retry.Attempts != 3 {
		s.Errorf("the job is %+v", j)
	}
	s.value(`document.querySelectorAll("details").forEach((e) => e.open = true)`)
	s.see("details", `"echo" → "slow"`)
	s.picture("job")
	s.click("button[value=restore]")
	s.see("[role=status]", fmt.Sprintf("at revision %d.", first.Revision))
	if j, err = s.client.Get(s.Context(), "My report"); err != nil || j.Service != "echo" {
		s.Errorf("restored: %+v, %v", j, err)
	}
	s.click("button[value=deactivate]")
	s.see("[role=status]", "inactive")
	s.click(".actions button[value=activate]")
	s.see("[role=status]", "It is active")
	s.click("button[value=deactivate]")
	s.see("[role=status]", "inactive")
	s.do(chromedp.Click(chromedp.CSS("[name=kind][value=every]")), chromedp.SendKeys(chromedp.CSS("[name=every]"), "90m"))
	s.see("#preview", "every 1 hour and 30 minutes")
	s.click("form:has(#preview) button[value=activate]")
	s.see("#words", "every 1 hour and 30 minutes")
	s.click("button[value=run]")
	s.see("[role=status]", "It is rung.")
	s.see("#state", "ok")
	s.click("button[value=again]")
	s.see("#state", "ok")
	s.do(chromedp.Navigate(s.base + about("/job", "My report") + "&at=2020-01-01T00:00:00Z"))
	s.see("#answer", "it was not there yet")
	if s.value(`document.querySelector("button[value=delete]").disabled`) != true {
		s.Error("it can be deleted without its name being typed")
	}
	s.do(chromedp.SendKeys(chromedp.CSS("[name=typed]"), "My report"))
	s.click("button[value=delete]")
	s.see("[role=status]", "is deleted")
	if _, err := s.client.Get(s.Context(), "My report"); scheduler.Code(err) != 404 {
		s.Errorf("after deletion: %v", err)
	}
	s.open("/changes?job=My+report")
	for _, verb := range []string{"create", "update", "restore", "deactivate", "activate", "delete"} {
		s.see("td", verb)
	}
	s.see("td", "ann")
	s.see("td", "ui")
	s.quiet()
}

// run follows a run as it goes on, and cancels another.
func (s *site) run() {
	s.open(about("/job", "slow"))
	s.click("button[value=run]")
	s.see("#state", "running")
	s.see(".log", "begun <img")
	s.see("main", "a quarter")
	s.picture("run")
	close(s.hold)
	s.see("#state", "ok")
	s.see(".log", "over")
	s.see("pre", "done")
	s.hold = make(chan struct{})
	s.do(chromedp.Click(chromedp.CSS(`a[href*="payload=text"]`)))
	s.see("main", "0 bytes")
	s.open(about("/job", "slow"))
	s.click("button[value=run]")
	s.see("#state", "running")
	s.click("button[value=cancel]")
	s.see("[role=status]", "cancelled")
	s.see("#state", "cancelled")
	s.open("/runs?job=slow")
	s.see("td", "cancelled")
	s.quiet()
}

// letters sends one back to work, and drops it when it comes again.
func (s *site) letters() {
	_, err := s.client.Run(s.Context(), "fails", nil)
	s.ok(err)
	s.open("/dead")
	s.is("#total", "1")
	s.picture("dead")
	s.click("button[value=redrive]")
	s.see("[role=status]", "sent back")
	s.see("#state", "dead")
	s.open("/dead")
	s.is("#total", "1")
	s.click("tbody a")
	s.see("dd", "window.pwned")
	s.click("button[value=drop]")
	s.is("#total", "0")
	s.quiet()
}

// looks at every page on a phone, in both colours.
func (s *site) looks() {
	for _, dark := range []bool{false, true} {
		scheme := "light"
		if dark {
			scheme = "dark"
		}
		_, err := chromedp.Call(s.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		s.ok(err)
		s.do(chromedp.EmulateViewport(390, 844))
		for _, page := range []string{"/", "/jobs", about("/job", hostile), "/new", "/runs", "/timeline", "/dead", "/services", "/channels", "/changes"} {
			s.open(page)
			if wide := s.value(`document.documentElement.scrollWidth`).(float64); wide > 390 {
				s.Errorf("%s is %v wide on a phone", page, wide)
			}
		}
		s.picture("phone-" + scheme)
		bright := s.value(`getComputedStyle(document.documentElement).backgroundColor.match(/\d+/)[0] > 128`).(bool)
		if bright == dark {
			s.Errorf("in %s, the ground is bright: %v", scheme, bright)
		}
	}
	s.do(chromedp.EmulateViewport(1280, 900))
	s.open("/timeline")
	s.see("main", "What is due over the coming day")
	s.picture("timeline")
	s.open("/services")
	s.see("td", "echo")
	s.do(chromedp.KeyEvent("g"), chromedp.KeyEvent("c"))
	s.see("h1", "Changes")
	s.quiet()
}
