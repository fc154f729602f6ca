package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{errors.New("x"), 1, "bellhop: x\n"},
		{context.Canceled, 1, ""},
		{Usage("do y", "not %s", "x"), 2, "bellhop: not x\n  do y\n"},
		{&config.Error{Variable: "BELLHOP_KEEP", Value: "0", Want: "more"}, 2, "bellhop: BELLHOP_KEEP=\"0\": more\n"},
		{&scheduler.Error{Code: 400, Field: "schedule.cron", Message: "is bad", Hint: "be good"}, 2, "bellhop: schedule.cron: is bad\n  be good\n"},
		{&scheduler.Error{Code: 413, Message: "too large"}, 2, "bellhop: too large\n"},
		{fmt.Errorf("ring: %w", workers.ErrRefused), 2, "bellhop: ring: ring refused\n"},
		{&scheduler.Error{Code: 404, Field: "name", Message: "no job"}, 3, "bellhop: no job\n  bellhop job list shows those that there are\n"},
		{&scheduler.Error{Code: 409, Field: "name", Message: "exists", Hint: "put"}, 4, "bellhop: exists\n  put\n"},
		{&scheduler.Error{Code: 503, Message: "not confirmed", Hint: "wait"}, 5, "bellhop: not confirmed\n  wait\n"},
		{&scheduler.Error{Code: 500, Message: "broken"}, 1, "bellhop: broken\n"},
		{scheduler.ErrNoLeader, 5, "bellhop: no scheduler is leading\n  start one"},
		{fmt.Errorf("find: %w", jetstream.ErrStreamNotFound), 5, "bellhop: nothing is set up on this NATS"},
		{fmt.Errorf("get: %w", nats.ErrTimeout), 5, "bellhop doctor"},
		{&Failure{Code: ExitRunFailed, Err: errors.New("dead: x")}, 6, "bellhop: dead: x\n"},
	} {
		var b bytes.Buffer
		s := &Session{Err: &b}
		if code := s.Exit(tt.err); code != tt.code || !strings.Contains(b.String(), tt.says) {
			t.Errorf("%v: exits with %d, says %q", tt.err, code, b.String())
		}
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("in a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Session{In: strings.NewReader("from outside")}
	for arg, want := range map[string]string{"text": "text", "": "", "@" + file: "in a file", "-": "from outside", "a@b": "a@b"} {
		if got, err := s.Read(arg); err != nil || string(got) != want {
			t.Errorf("%q gives %q, %v", arg, got, err)
		}
	}
	if _, err := s.Read("@" + file + ".not"); err == nil {
		t.Error("a file that is not there")
	}
}

func TestConfirmWithoutTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, s := range map[string]*Session{
		"a pipe":    {In: strings.NewReader("y\n"), Err: new(bytes.Buffer)},
		"/dev/null": {In: null, Err: new(bytes.Buffer)},
	} {
		f, ok := errors.AsType[*Failure](s.Confirm(false, "delete %s?", "it"))
		if !ok || f.Code != ExitUsage || !strings.Contains(f.Hint, "--yes") || !strings.Contains(f.Error(), "delete it?") {
			t.Errorf("%s: %v", name, f)
		}
		if err := s.Confirm(true, "delete it?"); err != nil {
			t.Errorf("%s, with --yes: %v", name, err)
		}
	}
}
