package embedded

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

// holdVariable makes of the test's own binary a process that takes the lock on
// the directory that it names.
const holdVariable = "BELLHOP_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdVariable); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

func hold(dir string) {
	if _, err := lockDir(dir); err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	os.Stdin.Read(make([]byte, 1)) // until the pipe closes
	os.Exit(0)
}

func start(t *testing.T, c config.Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func empty(t *testing.T) config.Config {
	return config.Config{Data: filepath.Join(t.TempDir(), "a", "b"), NATS: config.NATS{Addr: "127.0.0.1:0"}}
}

// TestRestart publishes into a stream, starts the server again on the same
// directory, and finds the message there.
func TestRestart(t *testing.T) {
	for _, sync := range []config.Sync{0, config.Sync(time.Second)} {
		t.Run(sync.String(), func(t *testing.T) {
			c := empty(t)
			c.Sync = sync
			for round := range 2 {
				s := start(t, c)
				if host, _, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://")); err != nil || host != "127.0.0.1" {
					t.Errorf("listens on %s", s.URL())
				}
				nc, err := nats.Connect("", nats.InProcessServer(s))
				if err != nil {
					t.Fatal(err)
				}
				js, err := jetstream.New(nc)
				if err != nil {
					t.Fatal(err)
				}
				stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
				if err != nil {
					t.Fatal(err)
				}
				if got := stream.CachedInfo().State.Msgs; got != uint64(round) {
					t.Errorf("round %d finds %d messages", round, got)
				}
				if _, err := js.Publish(t.Context(), "s", nil); err != nil {
					t.Fatal(err)
				}
				nc.Close()
				if err := s.Stop(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	c := empty(t)
	o, err := options(c)
	if err != nil {
		t.Fatal(err)
	}
	if !o.SyncAlways || o.Host != "127.0.0.1" || !o.NoSigs || !filepath.IsAbs(o.StoreDir) {
		t.Errorf("by default: %+v", o)
	}
	c.Sync = config.Sync(time.Second)
	if o, err = options(c); err != nil || o.SyncAlways || o.SyncInterval != time.Second {
		t.Errorf("with an interval: always %v, every %v, %v", o.SyncAlways, o.SyncInterval, err)
	}
}

// refused wants Start to blame a variable.
func refused(t *testing.T, c config.Config, variable, want string) {
	t.Helper()
	s, err := Start(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil {
		s.Stop()
		t.Fatal("started")
	}
	if e, ok := errors.AsType[*config.Error](err); !ok || e.Variable != variable || !strings.Contains(e.Want, want) {
		t.Errorf("got %v, want %s to be blamed with %q", err, variable, want)
	}
}

func TestPortInUse(t *testing.T) {
	s := start(t, empty(t))
	defer s.Stop()
	c := empty(t)
	c.NATS.Addr = strings.TrimPrefix(s.URL(), "nats://")
	refused(t, c, "BELLHOP_NATS_ADDR", "BELLHOP_NATS_URL")
	if _, err := os.Stat(c.Data); err == nil {
		t.Error("a server that does not start leaves a directory behind")
	}
	c.NATS.Addr = "192.0.2.1:4222"
	refused(t, c, "BELLHOP_NATS_ADDR", "cannot listen")
}

func TestBadDirectory(t *testing.T) {
	c := empty(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Data = filepath.Join(file, "data")
	refused(t, c, "BELLHOP_DATA", "can be written")

	// JetStream cannot start where its directory should be a file.
	c.Data = t.TempDir()
	if err := os.WriteFile(filepath.Join(c.Data, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "start NATS server") {
		t.Errorf("got %v", err)
	}
}

// TestLock has another process hold the directory, sees it refused with that
// process's id, and free as soon as the process was killed.
func TestLock(t *testing.T) {
	c := empty(t)
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), holdVariable+"="+c.Data)
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	refused(t, c, "BELLHOP_DATA", "process "+strconv.Itoa(holder.Process.Pid))
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	if err := start(t, c).Stop(); err != nil {
		t.Error(err)
	}
}
