package workers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
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
