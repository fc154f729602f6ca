package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Ready is the event by which a part says that it can begin.
const Ready = "ready"

// Part is a process of the bench, seen from outside: this executable, run as one
// part. It ends when this process does, for its standard input ends then.
type Part struct {
	Name string
	PID  int
	// Started is when the process was asked for.
	Started time.Time

	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan []byte // of its standard output
	ended   chan struct{}
	err     error // after ended
	errors  tail
	telling sync.Mutex
}

// start starts a part with an environment. Its options are one argument in JSON.
func (e *Env) start(ctx context.Context, name string, options any, env []string) (*Part, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	text, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	// The process outlives ctx: whoever has started it stops it in good order.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, "bench-part", name, string(text), e.profile(name))
	cmd.Env = env
	p := &Part{Name: name, cmd: cmd, lines: make(chan []byte, 1000), ended: make(chan struct{})}
	cmd.Stderr = &p.errors
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.Started = time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = cmd.Process.Pid
	e.parts = append(e.parts, p)
	go p.read(out) // until the process has ended, for which Kill waits
	return p, nil
}

// read takes what the part says, up to its end.
func (p *Part) read(out io.Reader) {
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			break
		}
		p.lines <- line
	}
	close(p.lines)
	p.err = p.cmd.Wait()
	close(p.ended)
}

// Next reads the next thing that the part says.
func (p *Part) Next(ctx context.Context, v any) error {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return p.gone()
		}
		if err := json.Unmarshal(line, v); err != nil {
			return fmt.Errorf("%s says %q: %w", p.Name, line, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitPatience is how long an event is waited for.
const awaitPatience = 2 * time.Minute

// Await reads what the part says up to an event.
func (p *Part) Await(ctx context.Context, event string) error {
	within, cancel := context.WithTimeout(ctx, awaitPatience)
	defer cancel()
	for {
		var said struct{ Event string }
		if err := p.Next(within, &said); err != nil {
			if within.Err() != nil && ctx.Err() == nil {
				return fmt.Errorf("%s was not %s within %v: %s", p.Name, event, awaitPatience, p.errors.text())
			}
			return fmt.Errorf("wait for %s: %w", event, err)
		}
		if said.Event == event {
			return nil
		}
	}
}

// Tell gives the part an order, which its own side has in Inside.Orders.
func (p *Part) Tell(order string) error {
	p.telling.Lock()
	defer p.telling.Unlock()
	if _, err := io.WriteString(p.in, order+"\n"); err != nil {
		return errors.Join(p.gone(), err)
	}
	return nil
}

// Ask gives an order and reads the answer.
func (p *Part) Ask(ctx context.Context, order string, v any) error {
	if err := p.Tell(order); err != nil {
		return err
	}
	return p.Next(ctx, v)
}

// Stop has the part end in good order and waits for it, not for ever.
func (p *Part) Stop(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.Tell(stopOrder); err != nil {
		return err
	}
	const patience = 15 * time.Second
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case _, ok := <-p.lines: // nobody reads them any more
			if !ok {
				<-p.ended
				if p.err != nil {
					return p.gone()
				}
				return nil
			}
		case <-late.C:
			p.Kill()
			return fmt.Errorf("%s did not stop within %v", p.Name, patience)
		case <-ctx.Done():
			p.Kill()
			return ctx.Err()
		}
	}
}

// Kill ends the part at once, as kill -9 does, and waits for its end.
func (p *Part) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	for range p.lines {      // to its end
	}
	<-p.ended
	_ = p.in.Close()
}

// gone is the error of a part that has ended too early, with its last words.
func (p *Part) gone() error {
	<-p.ended
	if p.err == nil {
		return fmt.Errorf("%s has ended: %s", p.Name, p.errors.text())
	}
	return fmt.Errorf("%s has ended (%w): %s", p.Name, p.err, p.errors.text())
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

// Write is part of io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	const most = 2000
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b...)
	if over := len(t.end) - most; over > 0 {
		t.end = append([]byte(nil), t.end[over:]...)
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.end))
}
