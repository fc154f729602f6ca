package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// Command is "bellhop bench".
type Command struct {
	Names      []string      `arg:"" optional:"" name:"name" complete:"bench" help:"Which ones, all if none is named (--list shows them)."`
	Full       bool          `help:"The full sizes, up to a million jobs. The quick ones end within three minutes for each mode."`
	Mode       []string      `enum:"relaxed,durable,r3" placeholder:"MODE" help:"relaxed (the server syncs to disk once a second), durable (it syncs every write) or r3 (three servers on this machine); may be given several times (relaxed)."`
	Seed       uint64        `default:"1" help:"What whatever is random begins with (${default})."`
	CPUProfile string        `name:"cpuprofile" placeholder:"DIR" help:"Write CPU profiles of the schedulers, workers and bridges there, a file each."`
	List       bool          `help:"List what there is."`
	Limit      time.Duration `placeholder:"D" help:"End by then: what would take longer is skipped, and said so (3m for each mode; with --full: none)."`
	Data       string        `placeholder:"DIR" help:"Keep the servers' files in a new directory below this one, which is removed afterwards (the system's temporary directory)."`
	AMQP       string        `name:"amqp" placeholder:"URL" help:"A RabbitMQ for the bench amqp (a private one, where rabbitmq-server is installed)."`
	Output     string        `short:"o" enum:"table,json" default:"table" help:"table or json."`

	Scale float64 `hidden:"" default:"1"`
}

// quickLimit is how long the quick set may take for each mode.
const quickLimit = 3 * time.Minute

// Help is what --help says below the summary.
func (Command) Help() string {
	return `Each figure of Bellhop's stands beside that of the raw platform, measured by turns
in the same run: what matters is the ratio. Everything is a process of its own:
servers, schedulers, workers and raw comparators. With BELLHOP_NATS_URL, or --server,
it runs on that server, in a namespace of its own that is deleted afterwards.

  bellhop bench append burst --mode relaxed --mode durable`
}

// Run measures, and prints what came of it, as far as it came.
func (c Command) Run(ctx context.Context, s *session.Session) error {
	if c.List {
		return list(s.Out)
	}
	chosen, err := c.chosen()
	if err != nil {
		return err
	}
	cfg, err := s.Config("")
	if err != nil {
		return err
	}
	modes := c.Mode
	switch outside := cfg.NATS.Outside(); {
	case outside && len(modes) > 0:
		return session.Usage("leave out --mode, or unset BELLHOP_NATS_URL to have servers started for it", "--mode: the server at %s is as it is", cfg.NATS)
	case outside:
		modes = []string{Outside}
	case len(modes) == 0:
		modes = []string{Relaxed}
	}
	if c.Limit == 0 && !c.Full {
		c.Limit = quickLimit * time.Duration(len(modes))
	}
	dir, err := c.directory()
	if err != nil {
		return err
	}
	r := &runner{command: c, config: cfg, dir: dir, screen: &progress{out: s.Err, terminal: screen.Colourful(s.Err)}, began: time.Now()}
	err = r.run(ctx, modes, chosen)
	r.screen.clear()
	err = errors.Join(err, os.RemoveAll(dir))
	return errors.Join(r.print(s.Out), err)
}

// chosen are the benches that were asked for, in their own order.
func (c Command) chosen() ([]Bench, error) {
	all := All()
	if len(c.Names) == 0 {
		return all, nil
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(all, func(b Bench) bool { return b.Name == name }) {
			return nil, session.Usage("bellhop bench --list shows those that there are", "there is no bench %q", name)
		}
	}
	return slices.DeleteFunc(all, func(b Bench) bool { return !slices.Contains(c.Names, b.Name) }), nil
}

// directory makes the one for the servers' files, and that for profiles.
func (c Command) directory() (string, error) {
	for _, d := range []struct{ flag, dir string }{{"--data", c.Data}, {"--cpuprofile", c.CPUProfile}} {
		if d.dir == "" {
			continue
		}
		if err := os.MkdirAll(d.dir, 0o700); err != nil {
			return "", &config.Error{Variable: d.flag, Value: d.dir, Want: "name a directory that can be written: " + err.Error()}
		}
	}
	return os.MkdirTemp(c.Data, "bellhop-bench-")
}

// runner runs benches, one after the other.
type runner struct {
	command Command
	config  config.Config
	dir     string
	screen  *progress
	began   time.Time
	rows    []Row
}

func (r *runner) run(ctx context.Context, modes []string, benches []Bench) error {
	var errs []error
	for _, mode := range modes {
		for _, b := range benches {
			if ctx.Err() != nil {
				return errors.Join(append(errs, ctx.Err())...)
			}
			if why := r.skip(b, mode); why != "" {
				r.rows = append(r.rows, Row{Bench: b.Name, Case: "-", Mode: mode, Note: "skipped: " + why})
				continue
			}
			if err := r.bench(ctx, b, mode); err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", b.Name, mode, err))
			}
		}
	}
	return errors.Join(errs...)
}

// skip says why a bench is not begun, empty if it is.
func (r *runner) skip(b Bench, mode string) string {
	if mode == Outside && b.Own != "" {
		return b.Own
	}
	takes := b.Quick
	if r.command.Full {
		takes = b.Full
	}
	if left := r.left(); r.command.Limit > 0 && takes > left {
		return fmt.Sprintf("it takes about %v, and of --limit %v are left", takes, max(0, left.Round(time.Second)))
	}
	return ""
}

// left is how much of the limit there is.
func (r *runner) left() time.Duration { return r.command.Limit - time.Since(r.began) }

// bench runs one, and cuts it off where it goes past the limit.
func (r *runner) bench(ctx context.Context, b Bench, mode string) error {
	whole := ctx
	if r.command.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.left())
		defer cancel()
	}
	e := &Env{
		Mode: mode, Full: r.command.Full, Seed: r.command.Seed, scale: r.command.Scale, dir: r.dir, profiles: r.command.CPUProfile,
		config: r.config, screen: r.screen, bench: b.Name, amqp: r.command.AMQP, rows: func(row Row) { r.rows = append(r.rows, row) },
	}
	e.Progress("%s", strings.ToLower(b.About[:1])+b.About[1:])
	began := time.Now()
	err := b.Run(ctx, e)
	e.Progress("done in %v", time.Since(began).Round(100*time.Millisecond))
	if err != nil && ctx.Err() != nil && whole.Err() == nil {
		r.rows = append(r.rows, Row{Bench: b.Name, Case: "-", Mode: mode, Note: fmt.Sprintf("cut off: it went past --limit %v", r.command.Limit)})
		err = nil
	}
	return errors.Join(err, e.close(whole))
}
