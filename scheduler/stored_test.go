package scheduler

import (
	"errors"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

func TestReadStored(t *testing.T) {
	const anchor = `"anchor":"2026-01-01T00:00:00Z"`
	for _, tt := range []struct {
		name, key, data       string
		state, reason, broken string
		anchored              bool
	}{
		{name: "active", key: "My=20Sample", data: `{"service":"s","schedule":{"every":"1s"},` + anchor + `}`, state: StateActive, anchored: true},
		{name: "inactive", key: "a", data: `{"service":"s","schedule":{"every":"1s"},"active":false,"reason":"completed",` + anchor + `}`, state: StateInactive, reason: ReasonCompleted, anchored: true},
		{name: "inactive by hand", key: "a", data: `{"service":"s","schedule":{"every":"1s"},"active":false}`, state: StateInactive, reason: ReasonDeactivated},
		{name: "active again by hand", key: "a", data: `{"service":"s","schedule":{"every":"1s"},"reason":"completed",` + anchor + `}`, state: StateActive},
		{name: "unknown field", key: "a", data: `{"service":"s","schedule":{"every":"1s"},"later":1}`, state: StateActive},
		{name: "no JSON", key: "a", data: `[`, broken: ""},
		{name: "no service", key: "a", data: `{"schedule":{"every":"1s"}}`, broken: "service"},
		{name: "another key", key: "b", data: `{"name":"a","service":"s","schedule":{"every":"1s"}}`, broken: "name"},
		{name: "no key", key: "=", data: `{"service":"s","schedule":{"every":"1s"}}`, broken: ""},
	} {
		j, err := ReadStored(tt.key, []byte(tt.data))
		inBook := newBook().read(kv.Entry[[]byte]{Key: tt.key, Value: []byte(tt.data), Created: time.Unix(0, 0)})
		if (inBook.kind == broken) != (err != nil) {
			t.Errorf("%s: %v, and invalid in a scheduler: %t", tt.name, err, inBook.kind == broken)
		}
		if tt.state == "" {
			if e, ok := errors.AsType[*Error](err); !ok || e.Field != tt.broken || j != nil {
				t.Errorf("%s: %v, %v", tt.name, j, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if j.State != tt.state || j.Reason != tt.reason || j.Anchor.IsZero() == tt.anchored {
			t.Errorf("%s: %s, reason %q, anchor %v", tt.name, j.State, j.Reason, j.Anchor)
		}
		if anchored := inBook.kind.anchored; anchored != tt.anchored {
			t.Errorf("%s: anchored in a scheduler: %t", tt.name, anchored)
		}
	}
}
