package connect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a real server on a free port until the test ends.
func serve(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10e9) {
		t.Fatal("server does not start")
	}
	return s
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func quiet() Options { return Options{Name: "test", Logger: slog.New(slog.DiscardHandler)} }

// works dials and does a round trip.
func works(t *testing.T, n config.NATS, o Options) {
	t.Helper()
	nc, err := Dial(n, o)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// refused dials, and wants an error that says want and does not show secret.
func refused(t *testing.T, n config.NATS, want, secret string) {
	t.Helper()
	nc, err := Dial(n, quiet())
	if err == nil {
		nc.Close()
		t.Fatal("connected")
	}
	if !strings.Contains(err.Error(), want) || secret != "" && strings.Contains(err.Error(), secret) {
		t.Errorf("%v: should say %q and not show %q", err, want, secret)
	}
}

func TestPassword(t *testing.T) {
	s := serve(t, &server.Options{Username: "ann", Password: "s3cret"})
	n := config.NATS{URL: s.ClientURL(), User: "ann", PasswordFile: write(t, "pw", "s3cret\n")}
	works(t, n, quiet())

	n.PasswordFile = write(t, "pw", "wr0ng")
	refused(t, n, "Authorization Violation", "wr0ng")
	n.PasswordFile = "/does/not/exist"
	refused(t, n, "BELLHOP_NATS_PASSWORD_FILE", "/does/not/exist")
}

func TestPasswordInURL(t *testing.T) {
	s := serve(t, &server.Options{Username: "ann", Password: "s3cret"})
	works(t, config.NATS{URL: fmt.Sprintf("nats://ann:s3cret@%s", s.Addr())}, quiet())
	refused(t, config.NATS{URL: fmt.Sprintf("nats://ann:wr0ng@%s", s.Addr())}, "Authorization Violation", "wr0ng")
}

func TestNKey(t *testing.T) {
	seed, public := user(t)
	s := serve(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}})
	works(t, config.NATS{URL: s.ClientURL(), NKey: write(t, "nkey", seed)}, quiet())

	other, _ := user(t)
	refused(t, config.NATS{URL: s.ClientURL(), NKey: write(t, "nkey", other)}, "Authorization Violation", other)
	refused(t, config.NATS{URL: s.ClientURL(), NKey: write(t, "nkey", "nonsense")}, "BELLHOP_NATS_NKEY", "nonsense")
	refused(t, config.NATS{URL: s.ClientURL(), NKey: "/does/not/exist"}, "BELLHOP_NATS_NKEY", "/does/not/exist")
}

func user(t *testing.T) (seed, public string) {
	t.Helper()
	pair := must(nkeys.CreateUser())(t)
	return string(must(pair.Seed())(t)), must(pair.PublicKey())(t)
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestCreds is about a server that trusts an operator, and the credentials file
// of a user of one of the operator's accounts.
func TestCreds(t *testing.T) {
	operator := must(nkeys.CreateOperator())(t)
	oc := jwt.NewOperatorClaims(must(operator.PublicKey())(t))
	oc = must(jwt.DecodeOperatorClaims(must(oc.Encode(operator))(t)))(t)

	account := must(nkeys.CreateAccount())(t)
	ac := jwt.NewAccountClaims(must(account.PublicKey())(t))
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(ac.Subject, must(ac.Encode(operator))(t)); err != nil {
		t.Fatal(err)
	}

	seed, public := user(t)
	token := must(jwt.NewUserClaims(public).Encode(account))(t)
	creds := must(jwt.FormatUserConfig(token, []byte(seed)))(t)

	s := serve(t, &server.Options{TrustedOperators: []*jwt.OperatorClaims{oc}, AccountResolver: resolver})
	works(t, config.NATS{URL: s.ClientURL(), Creds: write(t, "user.creds", string(creds))}, quiet())
	refused(t, config.NATS{URL: s.ClientURL()}, "Authorization Violation", "")
	refused(t, config.NATS{URL: s.ClientURL(), Creds: "/does/not/exist"}, `BELLHOP_NATS_CREDS="/does/not/exist"`, "")
}

func TestContext(t *testing.T) {
	s := serve(t, &server.Options{Username: "ann", Password: "s3cret"})
	path := write(t, "prod.json", fmt.Sprintf(`{"url":%q,"user":"ann","password":"s3cret"}`, s.ClientURL()))
	works(t, config.NATS{Context: path}, quiet())

	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := filepath.Join(home, "nats", "context")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, filepath.Join(dir, "prod.json")); err != nil {
		t.Fatal(err)
	}
	works(t, config.NATS{Context: "prod"}, quiet())
	refused(t, config.NATS{Context: "staging"}, `BELLHOP_NATS_CONTEXT="staging"`, "")
}

func TestInProcess(t *testing.T) {
	o := quiet()
	o.Server = serve(t, &server.Options{DontListen: true})
	works(t, config.NATS{URL: "nats://nobody.invalid:1"}, o)
}

// TestWait starts waiting before there is a server, and has one come once it
// was told that there is none.
func TestWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()

	logged := newLines()
	o := Options{Name: "test", Unbuffered: true, Logger: slog.New(slog.NewTextHandler(logged, nil))}
	connected := make(chan *nats.Conn, 1)
	go func() {
		nc, err := Wait(t.Context(), config.NATS{URL: fmt.Sprintf("nats://127.0.0.1:%d", port)}, o)
		if err != nil {
			t.Error(err)
		}
		connected <- nc
	}()
	logged.await(t, "waiting for NATS")
	serve(t, &server.Options{Port: port})
	if nc := <-connected; nc != nil {
		nc.Close()
	}
}

func TestWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Wait(ctx, config.NATS{URL: "nats://127.0.0.1:1"}, quiet())
	if !errors.Is(err, context.Canceled) || !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("got %v, want both why it stopped and what it waited for", err)
	}
	s := serve(t, &server.Options{Username: "ann", Password: "s3cret"})
	if _, err := Wait(t.Context(), config.NATS{URL: s.ClientURL()}, quiet()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("got %v, want a refusal at once", err)
	}
}

// TestReconnect stops a server under a connection and starts it again.
func TestReconnect(t *testing.T) {
	first := serve(t, &server.Options{})
	port := first.Addr().(*net.TCPAddr).Port
	logged := newLines()
	nc, err := Dial(config.NATS{URL: first.ClientURL()}, Options{
		Name: "test", Unbuffered: true, Logger: slog.New(slog.NewTextHandler(logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	first.Shutdown()
	first.WaitForShutdown()
	logged.await(t, "disconnected from NATS")
	if err := nc.Publish("x", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("publish while disconnected: %v, want it refused", err)
	}
	serve(t, &server.Options{Port: port})
	logged.await(t, "reconnected to NATS")
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
}

// lines is a log that can be waited for.
type lines chan string

func newLines() lines { return make(lines, 1000) }

func (l lines) Write(b []byte) (int, error) {
	l <- string(bytes.Clone(b))
	return len(b), nil
}

// await reads on until a line holds want; go test's own timeout bounds it.
func (l lines) await(t *testing.T, want string) {
	t.Helper()
	for line := range l {
		if strings.Contains(line, want) {
			return
		}
	}
}
