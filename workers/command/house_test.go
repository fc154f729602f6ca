package command_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers/command"
)

// roleVariable makes of the test's own binary a program that plays a role.
const roleVariable = "BELLHOP_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role, os.Args[1:])
	}
	natstest.Main(m)
}

// play is what a program of these tests does; it ends the process.
func play(role string, args []string) {
	switch role {
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	case "env":
		all := os.Environ()
		slices.Sort(all)
		for _, v := range all {
			if !strings.HasPrefix(v, roleVariable) && !strings.HasPrefix(v, "GO") {
				fmt.Printf("%q\n", v)
			}
		}
	case "huge":
		n, _ := strconv.Atoi(args[0])
		os.Stdout.Write(bytes.Repeat([]byte{'x'}, n))
		os.Stderr.Write(bytes.Repeat([]byte("much to say\n"), n/12))
	case "family": // a child of ours lives on
		child := exec.Command(os.Args[0], args[0])
		child.Env = append(os.Environ(), roleVariable+"=hold")
		if args[1] == "chatty" {
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
		}
		ready, tell, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		child.ExtraFiles = []*os.File{tell}
		if err := child.Start(); err != nil {
			panic(err)
		}
		ready.Read(make([]byte, 1)) // our own end may come now
		switch args[2] {
		case "wait":
			child.Wait()
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
			child.Wait()
		case "tidy": // ends well when it is told to
			told := make(chan os.Signal, 1)
			signal.Notify(told, syscall.SIGTERM)
			<-told
		case "leave": // at once
		}
	case "hold": // says that it is there, by connecting, and does not end by itself
		signal.Ignore(syscall.SIGTERM)
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			panic(err)
		}
		c.Write([]byte{'!'})
		os.NewFile(3, "parent").Write([]byte{'!'}) // if there is one
		io.Copy(io.Discard, c)
	}
	os.Exit(0)
}

// program is this test's binary in a role.
func program(t testing.TB, o command.Options, role string, args ...string) *command.Program {
	t.Helper()
	o.Env = append(o.Env, roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	p, err := command.New(append([]string{os.Args[0]}, args...), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func script(t testing.TB, o command.Options, line string) *command.Program {
	t.Helper()
	p, err := command.New(command.Shell(line), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// witness sees a process live and die: by its connection.
type witness struct {
	t testing.TB
	l net.Listener
	c net.Conn
}

func newWitness(t testing.TB) *witness {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &witness{t: t, l: l}
}

func (w *witness) address() string { return w.l.Addr().String() }

// born returns when the process is there.
func (w *witness) born() {
	w.t.Helper()
	w.l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)) // or it never was
	c, err := w.l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	w.c = c
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		w.t.Fatal(err)
	}
}

// dead returns when the process is gone.
func (w *witness) dead() {
	w.t.Helper()
	if _, err := w.c.Read(make([]byte, 1)); err == nil {
		w.t.Fatal("the process speaks")
	}
}

// journal is a logger and what was logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
