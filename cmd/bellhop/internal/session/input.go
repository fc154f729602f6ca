package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// maxInput bounds what is read from a file or standard input: more than any
// NATS server takes.
const maxInput = 64 << 20

// Read gives the bytes that an argument stands for: its own text, those of a
// file (@FILE), or those of standard input (-).
func (s *Session) Read(arg string) ([]byte, error) {
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		return s.ReadFile(name)
	}
	if arg == "-" {
		return s.ReadFile(arg)
	}
	return []byte(arg), nil
}

// ReadFile reads a file, or standard input if it is called "-".
func (s *Session) ReadFile(name string) ([]byte, error) {
	if name == "-" {
		interruptible()
		return readAll("standard input", s.In)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, Usage("", "%w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	return readAll(name, f)
}

func readAll(name string, r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxInput {
		return nil, Usage("", "%s holds more than %d MiB", name, maxInput>>20)
	}
	return b, nil
}

// interruptible lets Ctrl-C end the process at once: a read from a terminal
// cannot be broken off, and nothing has begun that would have to be drained.
func interruptible() { signal.Reset(os.Interrupt, syscall.SIGTERM) }

// Confirm asks before something is lost. Where nobody can answer it refuses.
func (s *Session) Confirm(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	refusal := Usage("say --yes to do it all the same", "not done without a yes: %s", question)
	if f, ok := s.In.(*os.File); !ok || !isDevice(f) {
		return refusal
	}
	interruptible()
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(s.In).ReadString('\n')
	if errors.Is(err, io.EOF) && answer == "" { // /dev/null is a device as well
		fmt.Fprintln(s.Err)
		return refusal
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &Failure{Code: ExitFailed, Err: errors.New("nothing was done")}
}

func isDevice(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
