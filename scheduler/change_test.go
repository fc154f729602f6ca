package scheduler

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestRecordOfAChange reads what was written as json.Marshal writes it.
func TestRecordOfAChange(t *testing.T) {
	read := func(t *rapid.T, b []byte, err error) (c Change) {
		if err == nil {
			err = json.Unmarshal(b, &c)
		}
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		return c
	}
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z]{0,3}["\\<\x00\xff]?`), rapid.Just("a\xff"))
	rapid.Check(t, func(t *rapid.T) {
		c := Change{
			Revision: rapid.Uint64().Draw(t, "revision"), Was: rapid.Uint64Range(0, 2).Draw(t, "was"),
			Job: text.Draw(t, "job"), Verb: text.Draw(t, "verb"), By: text.Draw(t, "by"), Via: text.Draw(t, "via"),
			Time: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds")).UTC(),
		}
		for range rapid.IntRange(0, 2).Draw(t, "fields") {
			c.Fields = append(c.Fields, FieldChange{Field: text.Draw(t, "field"), To: json.RawMessage(`{"a":"<"}`), Omitted: rapid.Bool().Draw(t, "omitted")})
		}
		written, err := c.record(nil)
		got := read(t, written, err)
		plain, err := json.Marshal(c)
		if d := cmp.Diff(read(t, plain, err), got); d != "" {
			t.Fatalf("%s: %s", written, d)
		}
	})
}
