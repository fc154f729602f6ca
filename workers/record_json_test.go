package workers

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Both of what follows make sure that a field added to Run is written, too.
func TestRecordIsWrittenAsByEncodingJSON(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringMatching(`[ -~]{0,20}`), rapid.Just("<&>\u2028\xff\"\\\n"))
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1<<34, 1<<34).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.MakeCustom[Run](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
			reflect.TypeFor[string]():    text.AsAny(),
			reflect.TypeFor[time.Time](): instant.AsAny(),
		}}).Draw(t, "run")
		want, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.appendJSON(nil)
		if err != nil || string(got) != string(want) {
			t.Fatalf("got  %s, %v\nwant %s", got, err, want)
		}
	})
}

func TestRecordWithAnAbsurdTime(t *testing.T) {
	r := Run{Due: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := r.appendJSON(nil); err == nil || !strings.Contains(err.Error(), "year") {
		t.Errorf("got %v", err)
	}
}
