package scheduler

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		out  string
	}{
		{"1ms", time.Millisecond, "1ms"},
		{"2s", 2 * time.Second, "2s"},
		{"+2s", 2 * time.Second, "2s"},
		{"1.5s", 1500 * time.Millisecond, "1.5s"},
		{"1000us", time.Millisecond, "1ms"},
		{"1000µs", time.Millisecond, "1ms"},
		{"30m", 30 * time.Minute, "30m"},
		{"90m", 90 * time.Minute, "1h30m"},
		{"1h0m0s", time.Hour, "1h"},
		{"24h", 24 * time.Hour, "1d"},
		{"1d12h", 36 * time.Hour, "1d12h"},
		{"1.5d", 36 * time.Hour, "1d12h"},
		{"12h1d", 36 * time.Hour, "1d12h"},
		{"2w", 14 * 24 * time.Hour, "2w"},
		{"1w1d", 8 * 24 * time.Hour, "8d"},
		{"15d1ms", 15*24*time.Hour + time.Millisecond, "15d1ms"},
		{"36525d", 36525 * 24 * time.Hour, "36525d"},
	} {
		got, err := ParseDuration(c.in)
		if err != nil || got.Std() != c.want || got.String() != c.out {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", c.in, got, err, c.out)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "empty"},
		{"+", "empty"},
		{"5", "not a duration"},
		{"d", "not a duration"},
		{".d", "not a duration"},
		{"1.2.3d", "not a duration"},
		{"5 m", "not a duration"},
		{"1y", "not a duration"},
		{"1D", "not a duration"},
		{"1d-1h", "not a duration"},
		{"∞", "not a duration"},
		{"-5m", "negative"},
		{"0", "shorter than 1ms"},
		{"0s", "shorter than 1ms"},
		{"999us", "shorter than 1ms"},
		{"1ns", "shorter than 1ms"},
		{"1500us", "not whole milliseconds"},
		{"36525d1ms", "longer than 100 years"},
		{"5218w", "longer than 100 years"},
		{"876601h", "longer than 100 years"},
		{"2562047h2562047h2562047h2562047h", "longer than 100 years"},
		{"36525d36525d36525d36525d", "longer than 100 years"},
		{"99999999999999999999d", "not a duration"},
		{strings.Repeat("9", 10_000) + "d", "not a duration"},
	} {
		got, err := ParseDuration(c.in)
		if err == nil || Code(err) != 400 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseDuration(%.40q) = %v, %v; want %q", c.in, got, err, c.want)
		} else if len(err.Error()) > 200 {
			t.Errorf("ParseDuration(%.40q): an error of %d bytes", c.in, len(err.Error()))
		}
	}
}

func TestDurationStringOutOfBounds(t *testing.T) {
	for d, want := range map[Duration]string{
		0:                            "0s",
		Duration(-time.Hour):         "-1h0m0s",
		Duration(math.MinInt64):      "-2562047h47m16.854775808s",
		Duration(time.Microsecond):   "1µs",
		Duration(time.Hour + 1):      "1h1ns",
		Duration(math.MaxInt64 - 15): "106751d23h47m16.854775792s",
	} {
		if got := d.String(); got != want {
			t.Errorf("%d: %s, want %s", int64(d), got, want)
		}
	}
}

func TestDurationJSON(t *testing.T) {
	type policy struct {
		Timeout Duration `json:"timeout,omitempty"`
	}
	var p policy
	if err := json.Unmarshal([]byte(`{"timeout":"1d12h"}`), &p); err != nil || p.Timeout.Std() != 36*time.Hour {
		t.Fatalf("%v, %v", p, err)
	}
	if b, err := json.Marshal(p); err != nil || string(b) != `{"timeout":"1d12h"}` {
		t.Errorf("%s, %v", b, err)
	}
	if b, err := json.Marshal(policy{}); err != nil || string(b) != `{}` {
		t.Errorf("%s, %v", b, err)
	}
	for _, bad := range []string{`{"timeout":5}`, `{"timeout":"5"}`, `{"timeout":{}}`} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(1, MaxDuration.millis()).Draw(t, "ms")
		d := Duration(ms) * MinDuration
		if got, err := ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%v: %v, %v", d, got, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"30m", "1d12h", "2w", "1.5d", "36525d", "-1h", "0", "1µs", "1d1", "w", "9223372036854775807ns", ".5w.5d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if d != 0 || Code(err) != 400 {
				t.Fatalf("%q: %v, %v", s, d, err)
			}
			return
		}
		if d < MinDuration || d > MaxDuration || d%MinDuration != 0 {
			t.Fatalf("%q: %v is out of bounds", s, d)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q: %v reads as %v, %v", s, d, again, err)
		}
	})
}
