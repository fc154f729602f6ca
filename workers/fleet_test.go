package workers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// workerEnv tells a test binary to be a worker of that name, on natsEnv.
const (
	workerEnv = "BELLHOP_TEST_WORKER"
	natsEnv   = "BELLHOP_TEST_WORKER_NATS"
)

// fleetWait is how long a worker of the fleet may be silent.
const fleetWait = 2 * time.Second

// fleetServices are what a worker of the fleet runs: how they behave is in their
// names, whatever the payload.
var fleetServices = map[string]workers.ServiceFunc{
	"quick": serveNothing,
	"slow": func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		return nil, rest(ctx, rand.N(400*time.Millisecond))
	},
	"fails": func(context.Context, *workers.Trigger) ([]byte, error) { return nil, errors.New("no luck") },
	"sometimes": func(context.Context, *workers.Trigger) ([]byte, error) {
		if rand.N(3) == 0 {
			return nil, errors.New("no luck")
		}
		return []byte("luck"), nil
	},
	"never": func(context.Context, *workers.Trigger) ([]byte, error) {
		return nil, workers.Permanent(errors.New("never"))
	},
	"panics":  func(context.Context, *workers.Trigger) ([]byte, error) { panic("oh") },
	"goes":    func(context.Context, *workers.Trigger) ([]byte, error) { runtime.Goexit(); return nil, nil },
	"dawdles": func(ctx context.Context, _ *workers.Trigger) ([]byte, error) { return nil, rest(ctx, time.Hour) },
	"large":   func(context.Context, *workers.Trigger) ([]byte, error) { return make([]byte, 3<<20), nil },
	"seated": func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		return nil, rest(ctx, rand.N(50*time.Millisecond))
	},
}

// rest waits; it is none of a test's own synchronising.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// beWorker is a process of the fleet. It ends with its standard input, should
// the test be killed. The service "tells" publishes when it begins and ends, and
// waits to be told to go on.
func beWorker() {
	nc, err := nats.Connect(os.Getenv(natsEnv), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	name := os.Getenv(workerEnv)
	w := workers.New(nc, workers.Options{
		Name: name, AckWait: fleetWait, Concurrency: 30, Attempts: 2, Backoff: 50 * time.Millisecond, Timeout: 300 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	for service, f := range fleetServices {
		o := workers.ServiceOptions{}
		switch service {
		case "seated":
			o.Fleet = 4
		case "slow":
			o.Timeout = time.Minute
		}
		w.HandleWith(service, f, o)
	}
	tell := func(what string) {
		if nc.Publish("told", []byte(what)) != nil || nc.Flush() != nil {
			os.Exit(1)
		}
	}
	w.HandleWith("tells", workers.ServiceFunc(func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		went, err := nc.SubscribeSync("go." + t.Run)
		if err != nil {
			return nil, err
		}
		tell(fmt.Sprintf("%s begins %s attempt %d", name, t.Run, t.Attempt))
		_, err = went.NextMsgWithContext(ctx)
		tell(fmt.Sprintf("%s ends %s: %v", name, t.Run, context.Cause(ctx)))
		return nil, err
	}), workers.ServiceOptions{Timeout: time.Hour})
	if err := w.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fleet is some worker processes on one NATS server.
type fleet struct {
	*house
	url   string
	procs map[string]*exec.Cmd
	told  *nats.Subscription
}

func newFleet(t *testing.T) *fleet {
	natstest.DropTimers()
	p := natstest.StartProcess(t, natstest.ProcessOptions{})
	nc, err := nats.Connect(p.URL, nats.MaxReconnects(-1))
	ok(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	ok(t, err)
	f := &fleet{house: &house{t: t, nc: nc, js: js}, url: p.URL, procs: map[string]*exec.Cmd{}}
	f.triggers()
	ok(t, workers.Setup(t.Context(), js, workers.SetupOptions{RunsPerJob: 1 << 20}))
	f.told, err = nc.SubscribeSync("told")
	ok(t, err)
	t.Cleanup(func() {
		for name := range f.procs {
			f.kill(name)
		}
	})
	return f
}

// start starts a worker, and returns when it answers.
func (f *fleet) start(name string) {
	f.t.Helper()
	self, err := os.Executable()
	ok(f.t, err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), workerEnv+"="+name, natsEnv+"="+f.url)
	c.Stderr = f.t.Output()
	in, err := c.StdinPipe()
	ok(f.t, err)
	f.t.Cleanup(func() { _ = in.Close() })
	ok(f.t, c.Start())
	f.procs[name] = c
}

func (f *fleet) signal(name string, sig os.Signal) {
	f.t.Helper()
	ok(f.t, f.procs[name].Process.Signal(sig))
}

func (f *fleet) kill(name string) {
	f.t.Helper()
	c := f.procs[name]
	delete(f.procs, name)
	_ = c.Process.Kill()
	_ = c.Wait()
}

// await waits for what a worker tells, and gives its name.
func (f *fleet) await(what string) (worker string) {
	f.t.Helper()
	m, err := f.told.NextMsg(time.Minute)
	if err != nil {
		f.t.Fatalf("waiting for %q: %v", what, err)
	}
	worker, told, _ := strings.Cut(string(m.Data), " ")
	equal(f.t, "told", told, what)
	return worker
}

// A worker that is frozen in the middle of a run loses its turn to another one;
// when it wakes its context is cancelled, and what it does then counts for
// nothing. One that is killed loses it as well.
func TestAFrozenWorkerLosesItsTurn(t *testing.T) {
	for _, overlap := range []string{"skip", "queue", "replace"} {
		t.Run(overlap, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			for _, name := range []string{"one", "two", "three"} {
				f.start(name)
			}
			ring := func(run string) {
				t.Helper()
				f.trigger("tells", "", "Bellhop-Job", "j", "Bellhop-Run", run, "Bellhop-Policy", fmt.Sprintf(`{"overlap":%q}`, overlap))
			}
			ring("first")
			frozen := f.await("begins first attempt 1")
			f.signal(frozen, syscall.SIGSTOP)
			heir := f.await("begins first attempt 2")
			if heir == frozen {
				t.Fatal("the frozen one runs")
			}
			f.signal(frozen, syscall.SIGCONT)
			equal(t, "woken", f.await("ends first: "+workers.ErrLeaseLost.Error()), frozen)
			ok(t, f.nc.Publish("go.first", nil))
			equal(t, "heir", f.await("ends first: <nil>"), heir)

			f.settled(t) // it has the job's turn a little longer than its service runs
			ring("second")
			dies := f.await("begins second attempt 1")
			f.kill(dies)
			next := f.await("begins second attempt 2")
			ok(t, f.nc.Publish("go.second", nil))
			equal(t, "next", f.await("ends second: <nil>"), next)
			f.settled(t)
			var oks []string
			for _, r := range f.records() {
				if r.Outcome == workers.OutcomeOK {
					oks = append(oks, fmt.Sprint(r.Run, " ", r.Worker))
				}
			}
			same(t, "ends", oks, []string{"first " + heir, "second " + next})
		})
	}
}

// settled returns when every message was acknowledged. It gives up after some
// minutes, which all that the fleet was given does not take by far, and says what
// is left.
func (f *fleet) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		backlogs, err := workers.Backlogs(t.Context(), f.js, "")
		ok(t, err)
		left := uint64(0)
		for _, b := range backlogs {
			left += b.Triggers + b.Rings + uint64(b.Running)
		}
		if left == 0 {
			return
		}
		if err := rest(ctx, 50*time.Millisecond); err != nil { // there is nothing to be told by
			f.explain(t)
			t.Fatalf("not settled: %+v", backlogs)
		}
	}
}

// explain logs what has come to no end, and what is written of it.
func (f *fleet) explain(t *testing.T) {
	t.Helper()
	ended := map[string]bool{}
	for _, r := range f.records() {
		if r.Outcome != workers.OutcomeFailed && r.Outcome != workers.OutcomeTimeout {
			ended[r.Run] = true
		}
	}
	for _, m := range f.stored("bellhop-triggers") {
		if run := m.Header.Get(workers.HeaderRun); !ended[run] {
			t.Logf("open: %d %s %s", m.Sequence, run, m.Header.Get(workers.HeaderPolicy))
		}
	}
	for _, m := range f.stored("KV_bellhop-state") {
		t.Logf("state: %s %s %s", m.Subject, m.Time.Format(time.TimeOnly), m.Data)
	}
	for service := range fleetServices {
		t.Logf("consumer: %+v", f.consumer("bellhop-triggers", service))
	}
}

// disturbance is when a worker was killed or frozen.
type disturbance struct {
	worker   string
	from, to time.Time
}

// explains says whether two attempts at one run may both have come to an end, for
// the worker of one was not there for a while.
func (d disturbance) explains(a, b workers.Run) bool {
	for _, r := range []workers.Run{a, b} {
		if r.Worker == d.worker && r.Started.Before(d.to) && r.Finished.After(d.from) {
			return true
		}
	}
	return false
}

// Three workers are killed and frozen while ten services work, fail, panic and
// dawdle. In the end every trigger is accounted for: its run has come to one end,
// or to a second one where the first one's worker was not there to say so.
func TestAFleetAccountsForEverything(t *testing.T) {
	f := newFleet(t)
	n := 0
	start := func() {
		n++
		f.start(fmt.Sprintf("worker-%d", n))
	}
	for range 3 {
		start()
	}
	rung := map[string]string{} // run id to service
	const rounds, each = 24, 4
	var troubles []disturbance
	for round := range rounds {
		for service := range fleetServices {
			for i := range each {
				run := fmt.Sprintf("%s-%d-%d", service, round, i)
				headers := []string{"Bellhop-Run", run}
				if service == "slow" {
					headers = append(headers, "Bellhop-Job", fmt.Sprint("job-", i), "Bellhop-Policy", fmt.Sprintf(`{"overlap":%q}`, []string{"allow", "skip", "queue", "replace"}[i]))
				}
				rung[run] = service
				f.trigger(service, "payload", headers...)
			}
		}
		names := make([]string, 0, len(f.procs))
		for name := range f.procs {
			names = append(names, name)
		}
		victim, began := names[rand.N(len(names))], time.Now()
		if round%3 == 0 {
			f.kill(victim)
			troubles = append(troubles, disturbance{victim, began.Add(-fleetWait), time.Now().Add(time.Hour)})
			start()
			continue
		}
		f.signal(victim, syscall.SIGSTOP)
		ok(t, rest(t.Context(), rand.N(3*fleetWait/2))) // that is the trouble itself
		f.signal(victim, syscall.SIGCONT)
		troubles = append(troubles, disturbance{victim, began.Add(-fleetWait), time.Now().Add(fleetWait)})
	}
	f.settled(t)

	ends := map[string][]workers.Run{}
	for _, r := range f.records() {
		if r.Outcome != workers.OutcomeFailed && r.Outcome != workers.OutcomeTimeout {
			ends[r.Run] = append(ends[r.Run], r)
		}
	}
	letters := map[string]int{}
	for _, m := range f.stored("bellhop-dead") {
		letters[m.Header.Get(workers.HeaderRun)]++
	}
	outcomes := map[string]int{}
	for run, service := range rung {
		if len(ends[run]) == 0 {
			t.Errorf("%s has come to no end", run)
			continue
		}
		dead := 0
		for i, r := range ends[run] {
			outcomes[service+" "+r.Outcome]++
			if r.Outcome == workers.OutcomeDead {
				dead = 1
			}
			if i > 0 && !slices.ContainsFunc(troubles, func(d disturbance) bool { return d.explains(ends[run][i-1], r) }) {
				t.Errorf("%s ended twice, and nothing happened to its workers: %+v", run, ends[run])
			}
		}
		equal(t, "letters of "+run, letters[run], dead)
	}
	for run := range ends {
		if rung[run] == "" {
			t.Errorf("run %s was never rung", run)
		}
	}
	t.Logf("%d triggers, %d troubles: %v", len(rung), len(troubles), outcomes)
	for service, want := range map[string]string{"quick": "ok", "fails": "dead", "never": "dead", "panics": "dead", "goes": "dead", "dawdles": "dead", "large": "ok", "seated": "ok"} {
		for key, n := range outcomes {
			if strings.HasPrefix(key, service+" ") && key != service+" "+want && !strings.HasSuffix(key, " dead") {
				t.Errorf("%d runs of %s", n, key)
			}
		}
	}
}
