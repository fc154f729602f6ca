package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// House is an empty Bellhop: a namespace of its own, with all its streams made
// and nothing in them, on servers that it may share with the bench's other houses.
type House struct {
	Namespace workers.Namespace
	// NC and JS are the bench's own connection.
	NC *nats.Conn
	JS jetstream.JetStream
	// Replicas is of the streams, for those that a bench makes beside Bellhop's.
	// Their names and subjects should begin with the namespace and a dash; they
	// are deleted with the house.
	Replicas int

	env    *Env
	config config.Config
	parts  []*Part
	closed bool
}

// House gives a fresh one. It is closed with the bench, or before.
func (e *Env) House(ctx context.Context) (*House, error) {
	if e.Mode != Outside && len(e.servers) == 0 {
		if err := e.startServers(ctx); err != nil {
			return nil, fmt.Errorf("start servers: %w", err)
		}
	}
	h := &House{env: e, config: e.config, Replicas: max(e.config.Replicas, 1)}
	if e.Mode != Outside {
		h.config = config.Config{NATS: config.NATS{URL: strings.Join(e.urls, ",")}}
		h.Replicas = 1
		if e.Mode == R3 {
			h.Replicas = 3
		}
	}
	h.Namespace = workers.Namespace("bench-" + strings.ToLower(rand.Text()[:10]))
	h.config.Namespace, h.config.Replicas = h.Namespace, h.Replicas
	e.houses = append(e.houses, h)
	var err error
	if h.NC, h.JS, err = h.Connect(); err != nil {
		return nil, err
	}
	return h, h.setUp(ctx)
}

// setUp makes the streams, and tries until a cluster has elected its leaders.
func (h *House) setUp(ctx context.Context) error {
	until := time.Now().Add(60 * time.Second)
	for { // a request that comes before there is a leader is never answered
		attempt, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
		_, err := h.JS.AccountInfo(attempt)
		cancel()
		if err == nil || time.Now().After(until) {
			break
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := scheduler.Setup(attempt, h.JS, scheduler.Options{Namespace: h.Namespace, Replicas: h.Replicas})
		cancel()
		if err == nil || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// Connect makes one more connection, which the caller closes.
func (h *House) Connect() (*nats.Conn, jetstream.JetStream, error) {
	nc, err := connect.Dial(h.config.NATS, connect.Options{Name: "bellhop-bench", Logger: slog.New(slog.DiscardHandler)})
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

// window is how many publishes the raw comparators have under way: enough that
// none of them waits for a round trip, on one machine or between two.
const window = 4000

// Start starts a part that connects to this house, with options that its own side
// reads (Inside.Options).
func (h *House) Start(ctx context.Context, name string, options any) (*Part, error) {
	p, err := h.env.start(ctx, name, options, environment(h.config))
	if err == nil {
		h.parts = append(h.parts, p)
	}
	return p, err
}

// StartScheduler starts a scheduler as bellhop-scheduler runs it, and waits until
// it has connected. It says Ready when it leads for the first time.
func (h *House) StartScheduler(ctx context.Context) (*Part, error) {
	return h.Start(ctx, "scheduler", nil)
}

// StartWorker starts a worker of services that do nothing, and waits until it
// takes runs.
func (h *House) StartWorker(ctx context.Context, o WorkerOptions) (*Part, error) {
	p, err := h.Start(ctx, "worker", o)
	if err != nil {
		return nil, err
	}
	return p, p.Await(ctx, Ready)
}

// Close ends the house's parts and deletes what was made for it.
func (h *House) Close(ctx context.Context) error {
	if h.closed {
		return nil
	}
	h.closed = true
	for _, p := range h.parts {
		if err := p.Stop(ctx); err != nil {
			p.Kill()
		}
	}
	if h.NC == nil {
		return nil
	}
	defer h.NC.Close()
	if h.env.Mode != Outside && ctx.Err() != nil { // the servers' files go anyway
		return nil
	}
	// What is somebody else's is left as it was found, interrupted or not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var errs []error
	names := h.JS.StreamNames(ctx)
	var mine []string
	for name := range names.Name() {
		if strings.HasPrefix(strings.TrimPrefix(name, "KV_"), string(h.Namespace)+"-") {
			mine = append(mine, name)
		}
	}
	errs = append(errs, names.Err())
	for _, name := range mine {
		errs = append(errs, h.JS.DeleteStream(ctx, name))
	}
	return errors.Join(errs...)
}

// startServers starts those of the mode, each a process with a directory of its own.
func (e *Env) startServers(ctx context.Context) error {
	size := 1
	if e.Mode == R3 {
		size = 3
	}
	options := make([]ServerOptions, size)
	var routes []string
	for i := range options {
		options[i] = ServerOptions{Name: fmt.Sprintf("n%d", i+1), Sync: e.Mode == Durable, Remove: e.dir,
			Dir: filepath.Join(e.dir, e.bench+"-"+e.Mode, strconv.Itoa(i+1))}
		if size > 1 {
			port, err := freePort(ctx)
			if err != nil {
				return err
			}
			options[i].ClusterPort = port
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
		}
	}
	for _, o := range options {
		o.Routes = routes
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return err
		}
		p, err := e.start(ctx, "server", o, environment(config.Config{}))
		if err != nil {
			return err
		}
		e.servers = append(e.servers, p)
		var at struct{ URL string }
		if err := p.Next(ctx, &at); err != nil {
			return err
		}
		e.urls = append(e.urls, at.URL)
	}
	return nil
}

// Servers are the processes of the servers, none where they are somebody else's.
func (h *House) Servers() []*Part { return h.env.servers }

// freePort gives a port that nobody listened on a moment ago.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // it was only asked for its port
	return l.Addr().(*net.TCPAddr).Port, nil
}

// environment is that of a part: the configuration as the daemons read it, and
// nothing of what BELLHOP_ variables say to this process.
func environment(c config.Config) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, config.Prefix+"_") })
	n := c.NATS
	for _, v := range []struct{ name, value string }{
		{"NATS_URL", n.URL}, {"NATS_CONTEXT", n.Context}, {"NATS_CREDS", n.Creds}, {"NATS_NKEY", n.NKey}, {"NATS_USER", n.User},
		{"NATS_PASSWORD_FILE", n.PasswordFile}, {"NATS_TLS_CA", n.TLS.CA}, {"NATS_TLS_CERT", n.TLS.Cert}, {"NATS_TLS_KEY", n.TLS.Key},
		{"NAMESPACE", string(c.Namespace)}, {"REPLICAS", strconv.Itoa(max(c.Replicas, 1))},
	} {
		if v.value != "" {
			env = append(env, config.Prefix+"_"+v.name+"="+v.value)
		}
	}
	return env
}

// pause waits, and tells whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
