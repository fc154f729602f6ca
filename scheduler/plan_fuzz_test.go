package scheduler

import (
	"encoding/json"
	"errors"
	"testing"
)

// Whatever comes in is refused with an *Error or makes a plan that keeps its
// promises: no panic, no hang, due times in order.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{
		`{"at":"2026-05-01T12:00:00Z"}`,
		`{"every":"30m","start":"2026-12-07T09:00:00Z","max_runs":12}`,
		`{"every":"1ms","end":"9999-12-31T23:59:59Z"}`,
		`{"every":"1w","jitter":"1d12h"}`,
		`{"cron":"30 2 * * *","time_zone":"Europe/Berlin","jitter":"30m"}`,
		`{"cron":"0 9 30 12 *","time_zone":"Pacific/Apia"}`,
		`{"cron":"*/7 1,2 29 2 MON-FRI","time_zone":"Australia/Lord_Howe"}`,
		`{"cron":"0 0 30 2 *"}`,
		`{"cron":"TZ="}`,
		`{"cron":"CRON_TZ=UTC"}`,
		`{"cron":"@every -1h"}`,
		`{"cron":", * * * *"}`,
		`{"cron":"* * * * * *","time_zone":"../../etc"}`,
		`{"at":{"at":{"at":[[[[]]]]}}}`,
		`{"max_runs":1e999}`,
		`[`,
	} {
		f.Add([]byte(text), int64(1767225600000), int64(1767225600000))
	}
	f.Add([]byte(`{"every":"36525d"}`), int64(-1<<63), int64(1<<63-1))
	f.Fuzz(func(t *testing.T, text []byte, anchor, after int64) {
		s, err := decodeSchedule(text, true)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		p, err := s.Compile(anchor)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		var again Schedule
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		q, err := again.Compile(anchor)
		if err != nil || p != q {
			t.Fatalf("%s makes another plan than %s: %+v, %+v, %v", b, text, p, q, err)
		}
		from, first := after, int64(Never)
		count := 0
		for ; count < 20; count++ {
			due := p.Next("key", after)
			if due == Never {
				break
			}
			if due <= after || due < 0 || due > maxTime {
				t.Fatalf("%s: due at %d after %d", b, due, after)
			}
			first, after = min(first, due), due
		}
		if from >= 0 && count > 0 {
			n, f, l, _ := p.Between("key", from+1, after+1, 100)
			if n != count || f != first || l != after {
				t.Fatalf("%s: Between gives %d, %d to %d; Next %d, %d to %d", b, n, f, l, count, first, after)
			}
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e == nil || e.Code != 400 || e.Field == "" || e.Message == "" {
		t.Fatalf("%#v", err)
	}
	if len(e.Error()) > 2000 {
		t.Fatalf("an error of %d bytes", len(e.Error()))
	}
}
