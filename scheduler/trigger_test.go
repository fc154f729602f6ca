package scheduler

import (
	"fmt"
	"testing"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestBlankKeepsNothing has a trigger that is made of the one before be as it would be
// alone, whatever they have in common.
func TestBlankKeepsNothing(t *testing.T) {
	b := newBook()
	var jobs []*job
	for i, def := range []string{
		`{"service":"one","schedule":{"every":"1h"},"payload":"some text"}`,
		`{"service":"one","schedule":{"every":"1h"},"payload":"longer text than that"}`,
		`{"service":"two","schedule":{"every":"1h"},"timeout":"5s","payload":{"a":1}}`,
		`{"service":"one","schedule":{"every":"1h"},"timeout":"7s","payload_base64":"AAEC"}`,
		`{"service":"two","schedule":{"every":"1h"}}`,
	} {
		j := b.read(kv.Entry[[]byte]{Key: fmt.Sprint("job-", i), Value: []byte(def), Revision: uint64(i + 1)})
		if j.kind == broken {
			t.Fatalf("%s is not valid", def)
		}
		jobs = append(jobs, &j)
	}
	rapid.Check(t, func(t *rapid.T) {
		next := newBlank("ns")
		for range rapid.IntRange(2, 6).Draw(t, "triggers") {
			j := rapid.SampledFrom(jobs).Draw(t, "job")
			due := rapid.Int64Range(0, 2).Draw(t, "due")
			got, want := next.fill(j, due), trigger("ns", j, due)
			if d := cmp.Diff([]any{want.Subject, want.Header, string(want.Data)}, []any{got.Subject, got.Header, string(got.Data)}); d != "" {
				t.Fatal(d)
			}
		}
	})
}
