package config

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOverride(t *testing.T) {
	env := Config{NATS: NATS{URL: "nats://env", User: "ann", Addr: "127.0.0.1:4222"}, Namespace: "env"}
	tests := []struct {
		name string
		over Override
		want Config
	}{
		{"nothing", Override{}, env},
		{"a server keeps the identity", Override{Server: "tls://a, b:4222"}, Config{NATS: NATS{URL: "tls://a, b:4222", User: "ann", Addr: "127.0.0.1:4222"}, Namespace: "env"}},
		{"a context says it all", Override{Context: "prod"}, Config{NATS: NATS{Context: "prod", Addr: "127.0.0.1:4222"}, Namespace: "env"}},
		{"a namespace", Override{Namespace: "blue"}, Config{NATS: env.NATS, Namespace: "blue"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := env.With(tt.over)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOverrideRefused(t *testing.T) {
	for flag, over := range map[string]Override{
		"--context":   {Server: "nats://a", Context: "prod"},
		"--server":    {Server: "http://a"},
		"--namespace": {Namespace: "a b"},
	} {
		_, err := Config{}.With(over)
		if e, ok := errors.AsType[*Error](err); !ok || e.Variable != flag || e.Want == "" {
			t.Errorf("%v: %v", over, err)
		}
	}
	// A password in a URL is not repeated.
	if _, err := (Config{}).With(Override{Server: "http://ann:secret@a"}); err == nil || err.Error() != `--server="http://…@a": `+wantURL {
		t.Error(err)
	}
}
