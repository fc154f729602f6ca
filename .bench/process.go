package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// readyWithin is how long whatever is started may take until it answers.
const readyWithin = 30 * time.Second

// Missing says that a server is not installed; the contender is skipped.
type Missing struct{ Program, Package string }

func (m *Missing) Error() string {
	return fmt.Sprintf("%s is not installed (apt-get install %s)", m.Program, m.Package)
}

func missing(program, pkg string) error { return &Missing{program, pkg} }

// Process is one that was started, with what it says in a file of the site.
type Process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser // our own children end with it
	log  string
	done chan struct{} // closed when it has ended
}

// start starts a command made with CommandContext: it ends with that context, or
// with this process.
func start(at Site, name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: name, cmd: cmd, log: at.Path(name + ".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if cmd.Dir == "" {
		cmd.Dir = at.Dir
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	dieWithParent(cmd.SysProcAttr)
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for us, and we end them
	cmd.Cancel, cmd.WaitDelay = p.interrupt, stopWithin
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // that it was killed is no news
	}()
	return p, nil
}

// Kill ends the process at once, as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// stopWithin is how long a process may take to end when it is asked to.
const stopWithin = 5 * time.Second

// Stop asks the process to end, so that it leaves nothing behind, as PostgreSQL
// does its shared memory, and kills it if it does not.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	_ = p.interrupt() // it may have ended
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		p.Kill()
	}
}

func (p *Process) interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

// errEnded means that a process that should answer is no more.
var errEnded = errors.New("it has ended")

// awaitAnswer waits until the process answers; one that does not is killed.
func (p *Process) awaitAnswer(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	err := retry(ctx, ask)
	if err == nil {
		return nil
	}
	p.Stop()
	return fmt.Errorf("%s does not start: %w: %s", p.name, cmp.Or(context.Cause(ctx), err), p.said())
}

// said is the end of what the process has said.
func (p *Process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-1000):]))
}

// retry asks until there is no error, or readyWithin has passed.
func retry(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// The roles of a child, which is this program with childArg first.
const (
	childArg      = "child"
	roleNATS      = "nats"
	roleScheduler = "scheduler"
	roleWorker    = "worker"
)

// selfCommand is this program in one of the roles. arg is the role's own.
func selfCommand(ctx context.Context, at Site, role, arg string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	site, err := json.Marshal(at)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self, childArg, role, string(site), arg), nil
}

func startSelf(ctx context.Context, at Site, role, arg string) (*Process, error) {
	cmd, err := selfCommand(ctx, at, role, arg)
	if err != nil {
		return nil, err
	}
	return start(at, role, cmd)
}

// beChild does what a child is for, until its standard input ends.
func beChild(role, site, arg string) error {
	var at Site
	if err := json.Unmarshal([]byte(site), &at); err != nil {
		return fmt.Errorf("read site: %w", err)
	}
	if role == roleNATS {
		return beNATS(at, arg)
	}
	e, err := entrantNamed(arg)
	if err != nil {
		return err
	}
	if role == roleWorker {
		return beWorker(e, at)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return e.Contender.(Scheduler).Schedule(ctx, at)
}
