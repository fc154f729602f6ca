package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/processtest"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// binary is the built daemon. See TestMain.
var binary string

func TestMain(m *testing.M) {
	path, remove, err := processtest.Build(".")
	if err != nil {
		panic(err)
	}
	defer remove()
	binary = path
	natstest.Main(m)
}

// fleet is some scheduler processes on one NATS server.
type fleet struct {
	*testing.T
	env   []string
	nc    *nats.Conn
	procs map[int]*exec.Cmd
	rings chan *nats.Msg // every trigger, as it is published
}

func newFleet(t *testing.T, url string, size int, env ...string) *fleet {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		T: t, nc: nc, procs: map[int]*exec.Cmd{}, rings: make(chan *nats.Msg, 100_000),
		env: append(env, "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"), "GORACE=halt_on_error=1 atexit_sleep_ms=0", "BELLHOP_NATS_URL="+url),
	}
	if _, err := nc.ChanSubscribe("bellhop.trigger.>", f.rings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range f.procs {
			p.Process.Kill()
			p.Wait()
		}
		nc.Close()
	})
	for range size {
		f.add()
	}
	return f
}

// add starts one more scheduler.
func (f *fleet) add() {
	p := exec.Command(binary)
	p.Env, p.Stderr = f.env, f.Output()
	if err := p.Start(); err != nil {
		f.Fatal(err)
	}
	f.procs[p.Process.Pid] = p
}

// leader asks until a scheduler that is none of the others leads, and gives
// its process.
func (f *fleet) leader(others ...int) int {
	f.Helper()
	inbox := nats.NewInbox()
	sub, err := f.nc.SubscribeSync(inbox)
	if err != nil {
		f.Fatal(err)
	}
	defer sub.Unsubscribe()
	for {
		f.nc.PublishRequest("bellhop.ping", inbox, nil)
		for {
			m, err := sub.NextMsg(100 * time.Millisecond)
			if err != nil {
				break
			}
			var pong struct {
				Name    string
				Leading bool
			}
			if err := json.Unmarshal(m.Data, &pong); err != nil {
				f.Fatalf("%s: %v", m.Data, err)
			}
			parts := strings.Split(pong.Name, "-") // host-pid-letters
			pid, err := strconv.Atoi(parts[len(parts)-2])
			if err != nil {
				f.Fatalf("no process in the name %q", pong.Name)
			}
			if pong.Leading && !slices.Contains(others, pid) {
				return pid
			}
		}
	}
}

// awaitRing returns when a trigger is published that was due after the time.
func (f *fleet) awaitRing(after time.Time) {
	f.Helper()
	for m := range f.rings {
		due, err := time.Parse(workers.DueLayout, m.Header.Get(workers.HeaderDue))
		if err != nil {
			f.Fatal(err)
		}
		if due.After(after) {
			return
		}
	}
}

// end kills a process and waits for its end.
func (f *fleet) end(pid int, sig os.Signal) {
	f.Helper()
	p := f.procs[pid]
	delete(f.procs, pid)
	if err := p.Process.Signal(sig); err != nil {
		f.Fatal(err)
	}
	stuck := time.AfterFunc(2*time.Minute, func() { p.Process.Signal(syscall.SIGQUIT) }) // it tells where
	p.Wait()
	stuck.Stop()
	if code := p.ProcessState.ExitCode(); sig == syscall.SIGTERM && code != 0 {
		f.Errorf("exits with %d after SIGTERM", code)
	}
}

// dues reads the due times of a job's triggers from the log, in its order. A
// cluster that is electing does not answer: then it begins again.
func dues(t *testing.T, js jetstream.JetStream, key string) []time.Time {
	t.Helper()
	for {
		list, err := readDues(t.Context(), js, key)
		if err == nil {
			return list
		}
		t.Logf("reading the log again: %v", err)
	}
}

func readDues(ctx context.Context, js jetstream.JetStream, key string) ([]time.Time, error) {
	cons, err := js.OrderedConsumer(ctx, "bellhop-triggers", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"bellhop.trigger.>"}, HeadersOnly: true,
	})
	if err != nil {
		return nil, err
	}
	messages, err := cons.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var list []time.Time
	for left := cons.CachedInfo().NumPending; left > 0; left-- {
		m, err := messages.Next()
		if err != nil {
			return nil, err
		}
		if m.Headers().Get(workers.HeaderJob) != key {
			continue
		}
		due, err := time.Parse(workers.DueLayout, m.Headers().Get(workers.HeaderDue))
		if err != nil {
			return nil, err
		}
		list = append(list, due)
	}
	return list, nil
}

// exactlyOnce fails unless the due times are a grid without a hole or a double.
func exactlyOnce(t *testing.T, list []time.Time, first time.Time, every time.Duration) {
	t.Helper()
	seen := map[time.Time]int{}
	var last time.Time
	for _, due := range list {
		seen[due]++
		if due.After(last) {
			last = due
		}
	}
	missing, doubled := 0, 0
	for due := first; !due.After(last); due = due.Add(every) {
		switch seen[due] {
		case 0:
			missing++
			t.Logf("missing %v", due)
		case 1:
		default:
			doubled++
			t.Logf("doubled %v", due)
		}
		delete(seen, due)
	}
	if missing > 0 || doubled > 0 || len(seen) > 0 {
		t.Errorf("of %d triggers %d are missing, %d doubled, %d not on the grid", len(list), missing, doubled, len(seen))
	}
}

// TestFleet kills, freezes and stops one leader after the other, under jobs
// that are due all the time: every occurrence is in the log exactly once.
func TestFleet(t *testing.T) {
	server := natstest.StartProcess(t, natstest.ProcessOptions{})
	f := newFleet(t, server.URL, 3, "BELLHOP_GRACE=10m")
	f.fight(6, func(int) {})
}

// TestFleetOnACluster does the same on three NATS servers with replicas 3, of
// which one after the other is killed, too: each time the one that leads the
// log's stream.
func TestFleetOnACluster(t *testing.T) {
	servers := natstest.StartCluster(t, 3)
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL)
	}
	f := newFleet(t, strings.Join(urls, ","), 3, "BELLHOP_GRACE=10m", "BELLHOP_REPLICAS=3")
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	var down *natstest.Process
	f.fight(6, func(round int) {
		if down != nil {
			down.Up()
			down = nil
			return
		}
		var leader string
		for leader == "" {
			if s, err := js.Stream(t.Context(), "bellhop-triggers"); err == nil && s.CachedInfo().Cluster != nil {
				leader = s.CachedInfo().Cluster.Leader
			}
		}
		for _, s := range servers {
			if s.Name() == leader {
				down = s
				s.Kill()
				t.Logf("killed the stream's leader %s", leader)
			}
		}
	})
}

// fight runs so many rounds; disturb does something more in each of them.
func (f *fleet) fight(rounds int, disturb func(round int)) {
	t := f.T
	js, err := jetstream.New(f.nc)
	if err != nil {
		t.Fatal(err)
	}
	client := scheduler.NewClient(f.nc, "")
	f.leader() // with a new cluster it takes some seconds
	tick, err := client.Create(t.Context(), &scheduler.Job{
		Name: "tick", Service: "a", Schedule: scheduler.Schedule{Every: scheduler.Duration(100 * time.Millisecond)},
	})
	if err != nil {
		t.Fatal(err)
	}
	counted, err := client.Create(t.Context(), &scheduler.Job{
		Name: "counted", Service: "b", Schedule: scheduler.Schedule{Every: scheduler.Duration(150 * time.Millisecond), MaxRuns: 60},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(os.Getenv("BELLHOP_TEST_ROUNDS")); err == nil {
		rounds = n
	}
	for round := range rounds {
		old := f.leader()
		f.awaitRing(time.Now())
		what, struck := "", time.Now()
		switch round % 3 {
		case 0:
			what = "killed"
			f.end(old, syscall.SIGKILL)
		case 1:
			what = "frozen"
			f.procs[old].Process.Signal(syscall.SIGSTOP)
		case 2:
			what = "stopped"
			f.end(old, syscall.SIGTERM)
		}
		disturb(round)
		f.leader(old)
		f.awaitRing(struck)
		t.Logf("%s: the next trigger came after %v", what, time.Since(struck).Round(time.Millisecond))
		if what == "frozen" {
			f.procs[old].Process.Signal(syscall.SIGCONT)
			f.awaitRing(time.Now().Add(500 * time.Millisecond)) // the old one has its say
		} else {
			f.add()
		}
	}
	if _, err := client.Deactivate(t.Context(), "tick"); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	list := dues(t, js, "tick")
	exactlyOnce(t, list, tick.Anchor.Add(100*time.Millisecond), 100*time.Millisecond)
	if last := list[len(list)-1]; at.Sub(last) > time.Minute {
		t.Errorf("the last trigger was due at %v, deactivated at %v", last, at)
	}
	list = dues(t, js, "counted")
	exactlyOnce(t, list, counted.Anchor.Add(150*time.Millisecond), 150*time.Millisecond)
	if len(list) != 60 {
		t.Errorf("max_runs of 60 came to %d triggers", len(list))
	}
	done, err := client.Get(t.Context(), "counted")
	if err != nil {
		t.Fatal(err)
	}
	if done.State != scheduler.StateInactive || done.Reason != scheduler.ReasonCompleted {
		t.Errorf("the counted job is %s, %s", done.State, done.Reason)
	}
	if n := len(dues(t, js, "tick")); n < rounds {
		t.Fatalf("only %d triggers", n)
	}
}
