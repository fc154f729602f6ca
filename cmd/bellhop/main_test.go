package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/workers"
)

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"version", 0, "bellhop " + workers.Version + " (go", ""},
		{"", 0, "BELLHOP_NATS_URL ", ""},
		{"-h", 0, "BELLHOP_NATS_URL ", ""},
		{"up --help", 0, "--demo", ""},
		{"down", 2, "", "bellhop --help"},
		{"up --demon", 2, "", "--demo"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(strings.Fields(tt.args), strings.NewReader(""), &stdout, &stderr); code != tt.code {
				t.Errorf("exits with %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("out %q, err %q", stdout.String(), stderr.String())
			}
		})
	}
}
