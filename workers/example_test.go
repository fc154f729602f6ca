package workers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// mustServer starts a NATS server for an example and connects to it.
func mustServer() (nc *nats.Conn, js jetstream.JetStream, stop func()) {
	natstest.DropTimers()
	dir, err := os.MkdirTemp("", "bellhop")
	must(err)
	s, err := server.NewServer(&server.Options{JetStream: true, DontListen: true, NoSigs: true, NoLog: true, StoreDir: dir})
	must(err)
	s.Start()
	nc, err = nats.Connect("", nats.InProcessServer(s))
	must(err)
	js, err = jetstream.New(nc)
	must(err)
	must(workers.Setup(context.Background(), js, workers.SetupOptions{}))
	return nc, js, func() {
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
		must(os.RemoveAll(dir))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A worker with one service, and somebody who rings it.
func Example() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet()})
	w.HandleFunc("greet", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		fmt.Printf("%s rings with %q: %s\n", t.Channel, t.Payload, t.Run)
		stop()
		return nil, nil
	})

	d := workers.NewDispatcher(js, workers.DefaultNamespace)
	_, err := d.Ring(ctx, workers.Ring{Channel: "cli", Service: "greet", ID: "1", Payload: []byte("hello")})
	must(err)

	must(w.Run(ctx)) // until the context is done
	// Output: cli rings with "hello": cli:1
}

// An error is tried again; the handler knows which attempt it is, and what the
// one before ended with.
func ExampleTrigger() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet(), Backoff: time.Millisecond})
	w.HandleFunc("flaky", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		fmt.Printf("attempt %d after %q\n", t.Attempt, t.LastError)
		if t.Attempt < 3 {
			return nil, fmt.Errorf("bad luck %d", t.Attempt)
		}
		stop()
		return nil, nil
	})
	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: "flaky"})
	must(err)
	must(w.Run(ctx))
	// Output:
	// attempt 1 after ""
	// attempt 2 after "bad luck 1"
	// attempt 3 after "bad luck 2"
}

// An error that no retry can heal ends the run at once. OnRun sees each attempt.
func ExamplePermanent() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet(), OnRun: func(r workers.Run) {
		fmt.Println(r.Service, r.Outcome, r.Error)
		stop()
	}})
	w.HandleFunc("billing", func(context.Context, *workers.Trigger) ([]byte, error) {
		return nil, workers.Permanent(errors.New("no such customer"))
	})
	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: "billing"})
	must(err)
	must(w.Run(ctx))
	// Output: billing dead no such customer
}

// A direct call is an ordinary NATS request to the same handler.
func ExampleWorker_HandleFunc() {
	nc, _, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet()})
	w.HandleFunc("double", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		return append(slices.Clip(t.Payload), t.Payload...), nil
	})
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()

	for {
		reply, err := nc.Request("bellhop.call.double", []byte("ho"), time.Second)
		if errors.Is(err, nats.ErrNoResponders) {
			continue // the worker is starting
		}
		must(err)
		fmt.Println(string(reply.Data))
		break
	}
	stop()
	must(<-ended)
	// Output: hoho
}

// A ring with an id may be repeated by whoever is not sure that it got through.
func ExampleDispatcher_Ring() {
	_, js, stopServer := mustServer()
	defer stopServer()

	d := workers.NewDispatcher(js, "")
	for range 2 {
		run, err := d.Ring(context.Background(), workers.Ring{Channel: "amqp", Source: "invoices", ID: "42", Service: "billing"})
		must(err)
		fmt.Println(run)
	}
	s, err := js.Stream(context.Background(), "bellhop-rings")
	must(err)
	fmt.Println("stored:", s.CachedInfo().State.Msgs)

	_, err = d.Ring(context.Background(), workers.Ring{Channel: "amqp", Service: "not a name"})
	fmt.Println("refused:", errors.Is(err, workers.ErrRefused))
	// Output:
	// amqp:invoices:42
	// amqp:invoices:42
	// stored: 1
	// refused: true
}

// An error may say when to try again, whatever the backoff is.
func ExampleRetryAfter() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet(), Backoff: time.Hour})
	w.HandleFunc("crm", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		if t.Attempt == 1 {
			return nil, workers.RetryAfter(errors.New("busy"), 10*time.Millisecond)
		}
		fmt.Printf("attempt %d after %q\n", t.Attempt, t.LastError)
		stop()
		return nil, nil
	})
	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: "crm"})
	must(err)
	must(w.Run(ctx))
	// Output: attempt 2 after "busy"
}

// A payload is parsed only when its service asks for it.
func ExampleTrigger_Decode() {
	bill := func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		var invoice struct {
			Number   int
			Customer string
		}
		if err := t.Decode(&invoice); err != nil {
			return nil, err // permanent: another attempt has the same payload
		}
		return fmt.Appendf(nil, "billed %s for %d", invoice.Customer, invoice.Number), nil
	}
	for _, payload := range []string{`{"number": 7, "customer": "Ada"}`, `{"number": "seven"}`, ``} {
		out, err := bill(context.Background(), &workers.Trigger{Payload: []byte(payload)})
		fmt.Println(string(out), err)
	}
	// Output:
	// billed Ada for 7 <nil>
	//  decode payload of 19 bytes: at byte 18: field Number: string where int is expected
	//  decode payload of 0 bytes: it is empty where JSON is expected
}

// Middleware of one's own: who may ring. Logging sees what it says, and Recover
// inside of it has it see a panic, too.
func ExampleWorker_Use() {
	nc, _, stopServer := mustServer()
	defer stopServer()

	onlyCalls := func(next workers.Service) workers.Service {
		return workers.ServiceFunc(func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			if t.Channel != workers.ChannelCall {
				return nil, workers.Permanent(errors.New("this worker is only called"))
			}
			return next.Serve(ctx, t)
		})
	}
	log := quiet()
	w := workers.New(nc, workers.Options{Logger: log})
	w.Use(workers.Logging(log), workers.Recover(log), onlyCalls)
	w.HandleFunc("now", func(context.Context, *workers.Trigger) ([]byte, error) { return []byte("noon"), nil })

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	for {
		m := nats.NewMsg("bellhop.call.now")
		m.Header.Set(workers.HeaderChannel, "http")
		reply, err := nc.RequestMsg(m, time.Second)
		if errors.Is(err, nats.ErrNoResponders) {
			continue // the worker is starting
		}
		must(err)
		fmt.Println(string(reply.Data))
		break
	}
	stop()
	must(<-ended)
	// Output: {"code":422,"message":"this worker is only called"}
}

// What follows on a run is given its output, and told the run before it.
func ExamplePolicy() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet()})
	w.HandleFunc("fetch", func(context.Context, *workers.Trigger) ([]byte, error) { return []byte("a,b,c"), nil })
	w.HandleFunc("post", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		fmt.Printf("%s rings with %q after %s\n", t.Channel, t.Payload, t.Parent)
		stop()
		return nil, nil
	})
	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{
		Channel: "cli", ID: "1", Service: "fetch", Policy: workers.Policy{OnSuccess: "post", OnFailure: "alarm"},
	})
	must(err)
	must(w.Run(ctx))
	// Output: chain rings with "a,b,c" after cli:1
}

// What has failed for good is looked at, and sent back to work.
func ExampleLetters() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	down, ended := true, make(chan workers.Run)
	w := workers.New(nc, workers.Options{Logger: quiet(), OnRun: func(r workers.Run) { ended <- r }})
	w.HandleFunc("billing", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		if down {
			return nil, workers.Permanent(errors.New("the bank is closed"))
		}
		return nil, nil
	})
	stopped := make(chan error)
	go func() { stopped <- w.Run(ctx) }()
	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", ID: "1", Service: "billing", Payload: []byte("ACME")})
	must(err)
	<-ended

	letters, err := workers.OpenLetters(ctx, js, "")
	must(err)
	down = false
	for l, err := range letters.List(ctx, workers.LetterFilter{Service: "billing"}) {
		must(err)
		fmt.Printf("%s, %d bytes: %s\n", l.Run, l.Size, l.Reason)
		_, err = letters.Redrive(ctx, l.ID)
		must(err)
	}
	r := <-ended
	fmt.Println(r.Run, r.Outcome)
	stop()
	must(<-stopped)
	// Output:
	// cli:1, 4 bytes: the bank is closed
	// cli:1 ok
}

// One service is quick and much asked for, the other may have two runs in the
// whole fleet and starts five in a second at most.
func ExampleServiceOptions() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet(), Concurrency: 16})
	w.HandleWith("thumbnail", workers.ServiceFunc(func(context.Context, *workers.Trigger) ([]byte, error) {
		fmt.Println("a thumbnail")
		stop()
		return nil, nil
	}), workers.ServiceOptions{Description: "Makes small pictures of large ones", Version: "1.2.0", Priority: 10})
	w.HandleWith("report", workers.ServiceFunc(func(context.Context, *workers.Trigger) ([]byte, error) {
		return nil, nil
	}), workers.ServiceOptions{Concurrency: 1, Fleet: 2, Rate: 5, Timeout: time.Hour})

	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: workers.ChannelCLI, Service: "thumbnail"})
	must(err)
	must(w.Run(ctx))
	// Output: a thumbnail
}

// A run is cancelled while it goes on; its service learns why.
func ExampleCancel() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet(), OnRun: func(r workers.Run) {
		fmt.Println("recorded as", r.Outcome)
		stop()
	}})
	w.HandleFunc("report", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		_, err := workers.Cancel(context.WithoutCancel(ctx), js, "", t.Run) // somebody does, anywhere
		must(err)
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
		return nil, ctx.Err()
	})

	_, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: workers.ChannelCLI, Service: "report"})
	must(err)
	must(w.Run(ctx))
	// Output:
	// run cancelled
	// recorded as cancelled
}

// What a service tells of its run is seen while it goes on, with `bellhop run
// list --active` and `bellhop run logs -f`, and kept in its record.
func ExampleFollow() {
	nc, js, stopServer := mustServer()
	defer stopServer()

	ctx, stop := context.WithCancel(context.Background())
	w := workers.New(nc, workers.Options{Logger: quiet()})
	w.HandleFunc("import", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		files := strings.Fields(string(t.Payload))
		for i, file := range files {
			workers.Report(ctx, float64(i+1)/float64(len(files)), file)
			workers.Logger(ctx).Info("imported", "file", file)
		}
		return nil, nil
	})
	run, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: "import", ID: "1", Payload: []byte("a.csv b.csv")})
	must(err)
	var working sync.WaitGroup
	working.Go(func() { must(w.Run(ctx)) })

	for e, err := range workers.Follow(ctx, nc, js, "", run) {
		must(err)
		switch e.Type {
		case workers.EventLog:
			fmt.Println(e.Line.Text)
		case workers.EventEnded:
			fmt.Printf("%s at %.0f%%\n", e.Record.Outcome, 100*e.Record.Progress.Fraction)
		}
	}
	stop()
	working.Wait()
	// Output:
	// level=INFO msg=imported file=a.csv
	// level=INFO msg=imported file=b.csv
	// ok at 100%
}
