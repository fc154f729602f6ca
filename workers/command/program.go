package command

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// ExitPermanent is the exit status of a failure that no repetition can heal:
// EX_DATAERR of sysexits.h, "the input data was incorrect in some way".
const ExitPermanent = 65

// stopGrace is what is left of the grace when a worker stops, which waits two
// seconds for what it has cancelled.
const stopGrace = time.Second

// Options of a Program; zero fields mean the defaults.
type Options struct {
	// Dir is the program's working directory: the worker's own.
	Dir string
	// Env is the program's environment as os.Environ gives it, to which the
	// trigger's variables are added. Empty means nothing but those.
	Env []string
	// Grace is how long a program that was told to end (SIGTERM) may take
	// before it is killed: 5 s. A worker that stops grants one second at most.
	Grace time.Duration
	// MaxOutput is how much of standard output is kept, in bytes: 1 MiB. Where
	// it is no less than the server's max_payload, a direct call whose output
	// was cut is answered with an error, never with the part.
	MaxOutput int
	// Logger gets the lines of standard error: nobody.
	Logger *slog.Logger
}

// Program is a service that starts a program for each run.
type Program struct {
	path   string
	args   []string
	o      Options
	groups groups
}

// New makes a service of a program and its arguments. It fails when there is no
// such program, or no such directory to run it in. The name of a program without
// a slash is looked up in PATH; with one it counts from Options.Dir.
func New(args []string, o Options) (*Program, error) {
	if len(args) == 0 || args[0] == "" {
		return nil, errors.New("no program to run")
	}
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return nil, fmt.Errorf("run %q: an argument holds a zero byte", args[0])
		}
	}
	o.Grace = max(cmp.Or(o.Grace, 5*time.Second), time.Millisecond)
	o.MaxOutput = max(cmp.Or(o.MaxOutput, 1<<20), 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dir != "" {
		switch info, err := os.Stat(o.Dir); {
		case err != nil:
			return nil, fmt.Errorf("run %s in its directory: %w", args[0], err)
		case !info.IsDir():
			return nil, fmt.Errorf("run %s: %s is not a directory", args[0], o.Dir)
		}
	}
	path, err := find(args[0], o.Dir)
	if err != nil {
		return nil, err
	}
	return &Program{path: path, args: args, o: o}, nil
}

// find gives the program's absolute path.
func find(name, dir string) (string, error) {
	if filepath.Base(name) != name && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
		if !filepath.IsAbs(name) {
			name = "." + string(filepath.Separator) + name // Join has cleaned it off
		}
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	return path, nil
}

// Shell gives the program that runs a line of the system's shell: /bin/sh -c on
// Unix, cmd /C on Windows.
func Shell(line string) []string { return append(shell(), line) }

// Serve runs the program once.
func (p *Program) Serve(ctx context.Context, t *workers.Trigger) ([]byte, error) {
	log := p.o.Logger.With("service", t.Service, "run", t.Run)
	out := &output{most: p.o.MaxOutput}
	said := &transcript{log: func(line string) {
		workers.Log(ctx, line)
		log.Info("standard error", "line", line)
	}}

	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args = p.args
	cmd.Dir, cmd.Env = p.o.Dir, environment(p.o.Env, t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(t.Payload), out, said
	// Our own end of the pipes is closed then, whoever holds the other one.
	cmd.WaitDelay = p.o.Grace
	g := newGroup(cmd)
	var stop *stopping
	cmd.Cancel = func() error { // Wait returns after it
		stop = g.stop(p.grace(ctx))
		return nil
	}
	if err := p.groups.start(g); err != nil {
		return nil, startError(err)
	}
	err := cmd.Wait()
	if stop != nil {
		stop.wait()
	}
	g.kill()
	p.groups.remove(g)

	said.end()
	if said.dropped > 0 {
		log.Warn("standard error was not logged to its end", "bytes_dropped", said.dropped)
	}
	if out.size > len(out.kept) {
		log.Warn("output was cut", "bytes", out.size, "kept", len(out.kept))
	}
	if stop == nil && errors.Is(err, exec.ErrWaitDelay) {
		log.Warn("program has left others behind, which were killed")
		err = nil // its own status was 0
	}
	if err = p.outcome(ctx, stop != nil, err, said.tail()); err != nil {
		return nil, err
	}
	return out.kept, nil
}

// Kill ends all runs that are under way, at once, and lets no other begin.
func (p *Program) Kill() { p.groups.kill() }

// grace is how long a program may take to end once its context has.
func (p *Program) grace(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), workers.ErrStopped) {
		return min(p.o.Grace, stopGrace)
	}
	return p.o.Grace
}

// startError says which errors are the program's and which the machine's.
func startError(err error) error {
	err = fmt.Errorf("start program: %w", err)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		return workers.Permanent(err)
	}
	return err
}

// outcome makes an error of the way in which a program has ended. A program that
// was told to end has not done its work, whatever its status is.
func (p *Program) outcome(ctx context.Context, stopped bool, err error, tail string) error {
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case stopped:
		err = fmt.Errorf("terminated: %w", context.Cause(ctx))
	case err == nil:
		return nil
	case !ok:
		err = fmt.Errorf("run program: %w", err)
	case exit.ExitCode() == ExitPermanent:
		err = workers.Permanent(err)
	}
	if tail == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, tail)
}
