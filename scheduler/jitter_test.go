package scheduler

import (
	"fmt"
	"math"
	"testing"
)

// The hash is part of what is stored: a change would move every occurrence.
func TestJitterHashNeverChanges(t *testing.T) {
	for _, c := range []struct {
		key     string
		nominal int64
		want    uint64
	}{
		{"", 0, 0xefd01f60ba992926},
		{"My=20Sample", 1767225600000, 0xfb2f64f939b5a68e},
		{"My=20Sample", 1767225600001, 0x27f608b6cfa69056},
		{"another", math.MaxInt64, 0xb6ec4ef42880705a},
	} {
		if got := jitterHash(c.key, c.nominal); got != c.want {
			t.Errorf("jitterHash(%q, %d) = %#x, want %#x", c.key, c.nominal, got, c.want)
		}
	}
}

func TestJitterSpreads(t *testing.T) {
	const keys, slots = 60_000, 60
	p := compile(t, `{"cron":"@hourly","jitter":"1m"}`)
	start := ms("2026-06-01T12:00:00Z")
	var count [slots]int
	key := make([]byte, 0, 8)
	for i := range keys {
		key = append(key[:0], 'j', 'o', 'b', byte('0'+i/10000), byte('0'+i/1000%10), byte('0'+i/100%10), byte('0'+i/10%10), byte('0'+i%10))
		due := p.Next(string(key), start-1)
		if due < start || due >= start+60_000 {
			t.Fatalf("%s is due at %d", key, due)
		}
		count[(due-start)/1000]++
	}
	for i, n := range count {
		if n < keys/slots*8/10 || n > keys/slots*12/10 {
			t.Errorf("%d of %d in second %d", n, keys, i)
		}
	}
}

// A due time is its nominal one and less than the jitter, whether the nominal
// one lies before or after the time that is asked about.
func TestJitterStaysByItsNominalTime(t *testing.T) {
	for _, pair := range [][2]string{
		{`{"every":"10s"}`, `{"every":"10s","jitter":"9.999s"}`},
		{`{"every":"10s"}`, `{"every":"10s","jitter":"1ms"}`},
		{`{"cron":"*/10 * * * * *"}`, `{"cron":"*/10 * * * * *","jitter":"9.999s"}`},
		{`{"cron":"0,20,50 * * * * *"}`, `{"cron":"0,20,50 * * * * *","jitter":"9.999s"}`},
		// On the night when the clock is put forward, 02:50 fires at 03:00: fifty
		// minutes before the next, which is less than the jitter.
		{`{"cron":"50 2,3 * * *","time_zone":"Europe/Berlin"}`, `{"cron":"50 2,3 * * *","time_zone":"Europe/Berlin","jitter":"59m"}`},
	} {
		plain, jittered := compile(t, pair[0]), compile(t, pair[1])
		for i := range 50 {
			key := fmt.Sprint("job", i)
			nominal := plain.Next(key, ms("2026-03-28T00:00:00Z"))
			due := jittered.Next(key, nominal-1)
			for range 20 {
				next := plain.Next(key, nominal)
				if late := due - nominal; late < 0 || late >= jittered.jitter || due >= next {
					t.Fatalf("%s: nominal %d, due %d, next %d", pair[1], nominal, due, next)
				}
				if again := jittered.Next(key, due-1); again != due {
					t.Fatalf("%s: %d, asked again %d", pair[1], due, again)
				}
				nominal, due = next, jittered.Next(key, due)
			}
		}
	}
}

// Jitter may put the last run past the end, but not past the end of time.
func TestJitterAtTheEnds(t *testing.T) {
	p := compile(t, `{"every":"1h","jitter":"59m","start":"2026-01-01T00:00:00Z","end":"2026-01-01T02:00:00Z"}`)
	if n, _, _, _ := p.Between("job", 0, maxTime, 10); n != 3 {
		t.Errorf("%d runs, not 3", n)
	}
	for _, text := range []string{`{"every":"1d","jitter":"23h59m"}`, `{"cron":"@daily","jitter":"23h59m"}`} {
		p := compile(t, text)
		for after := ms("9999-12-25T00:00:00Z"); after != Never; after = p.Next("job", after) {
			if after > maxTime {
				t.Errorf("%s: due at %d", text, after)
			}
		}
	}
}
