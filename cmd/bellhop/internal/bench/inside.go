package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Inside is a part seen from its own side.
type Inside struct {
	// Config is what the environment says, as the daemons read it.
	Config config.Config
	Logger *slog.Logger
	// Orders are what the parent says (Part.Tell), beside the order to stop,
	// which ends the context.
	Orders <-chan string

	options []byte
	mu      sync.Mutex
	out     *json.Encoder
	orphan  func() // what is still done when the parent is gone
}

// parts gives what a process can be told to be, by name. It ends with its context.
func parts() map[string]func(context.Context, *Inside) error {
	return map[string]func(context.Context, *Inside) error{
		"server":    serverPart,
		"scheduler": schedulerPart,
		"worker":    workerPart,
		"publish":   publishPart,
		"consume":   consumePart,
		"clients":   clientsPart,
		"putters":   puttersPart,
		"bridge":    bridgePart,
		"carry":     carryPart,
		"confirm":   confirmPart,
		"read":      readPart,
	}
}

// stopOrder is the order to end in good order.
const stopOrder = "stop"

// Options reads what the part was started with.
func (in *Inside) Options(v any) error {
	if err := json.Unmarshal(in.options, v); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	return nil
}

// Say tells the parent something, in one line of JSON.
func (in *Inside) Say(v any) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.out.Encode(v)
}

// SayEvent tells the parent that something has happened, see Part.Await.
func (in *Inside) SayEvent(event string) error {
	return in.Say(map[string]string{"event": event})
}

// Connect connects as the configuration says.
func (in *Inside) Connect(ctx context.Context, unbuffered bool) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := connect.Wait(ctx, in.Config.NATS, connect.Options{Name: "bellhop-bench", Unbuffered: unbuffered, Logger: in.Logger})
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

// PartCommand is the hidden command by which a bench starts its processes.
type PartCommand struct {
	Name    string `arg:""`
	Options string `arg:""`
	Profile string `arg:"" optional:""`
}

// Run is one part, until it is told to stop or its parent is gone.
func (c PartCommand) Run(ctx context.Context) error {
	// A terminal sends Ctrl-C to all of its processes: the parent decides.
	signal.Ignore(os.Interrupt)
	run, ok := parts()[c.Name]
	if !ok {
		return fmt.Errorf("there is no part %q", c.Name)
	}
	cfg, err := config.Load("")
	if err != nil {
		return err
	}
	var profile profile
	if c.Profile != "" {
		if err := profile.start(c.Profile); err != nil {
			return err
		}
		defer profile.stop()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	orders := make(chan string, 16)
	in := &Inside{
		Config: cfg, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Orders: orders, options: []byte(c.Options), out: json.NewEncoder(os.Stdout), orphan: func() {},
	}
	go in.listen(os.Stdin, orders, &profile, stop) // until the process ends
	return run(ctx, in)
}

// listen takes orders until the parent is gone, and then ends the process.
func (in *Inside) listen(r io.Reader, orders chan<- string, p *profile, stop func()) {
	for s := bufio.NewScanner(r); s.Scan(); {
		switch s.Text() {
		case stopOrder:
			stop()
		case collectOrder:
			debug.FreeOSMemory()
			_ = in.Say(usage()) // fails when nobody reads
		case profileOrder:
			p.restart()
		case usageOrder:
			_ = in.Say(usage()) // fails when nobody reads
		default:
			orders <- s.Text()
		}
	}
	in.orphan()
	os.Exit(1)
}
