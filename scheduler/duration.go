package scheduler

import (
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that people write as "30m", "1d12h" or "2w": a
// Go duration plus d for 24 hours and w for 7 days. In JSON it is that string.
type Duration time.Duration

// The bounds of a Duration in a definition.
const (
	MinDuration = Duration(time.Millisecond)
	MaxDuration = Duration(36525 * day) // 100 years
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

const durationHint = `use a duration such as "500ms", "30m", "1d12h" or "2w"`

// ParseDuration reads a Duration: whole milliseconds, from MinDuration to
// MaxDuration.
func ParseDuration(s string) (Duration, error) {
	rest := strings.TrimPrefix(s, "+")
	if rest == "" {
		return 0, invalid("", durationHint, "the duration is empty")
	}
	if rest[0] == '-' {
		return 0, invalid("", durationHint, "duration %.40q is negative", s)
	}
	var sum time.Duration
	for rest != "" {
		number := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
		rest = rest[len(number):]
		unit := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyzµμ"))]
		rest = rest[len(unit):]

		factor := time.Duration(1)
		switch unit {
		case "d":
			unit, factor = "h", day/time.Hour
		case "w":
			unit, factor = "h", week/time.Hour
		}
		part, err := time.ParseDuration(number + unit)
		if err != nil {
			return 0, invalid("", durationHint, "%.40q is not a duration", s)
		}
		// Each part and the sum so far are at most MaxDuration, a third of
		// what an int64 holds, so that this sum cannot wrap.
		if part > time.Duration(MaxDuration)/factor || sum+part*factor > time.Duration(MaxDuration) {
			return 0, invalid("", "", "duration %.40q is longer than 100 years (%v)", s, MaxDuration)
		}
		sum += part * factor
	}
	d := Duration(sum)
	if err := d.check(); err != nil {
		return 0, err
	}
	return d, nil
}

// check refuses what is out of bounds or not whole milliseconds.
func (d Duration) check() *Error {
	switch {
	case d < MinDuration:
		return invalid("", durationHint, "duration %v is shorter than %v", d, MinDuration)
	case d > MaxDuration:
		return invalid("", "", "duration %v is longer than 100 years (%v)", d, MaxDuration)
	case d%Duration(time.Millisecond) != 0:
		return invalid("", "", "duration %v is not whole milliseconds", d)
	}
	return nil
}

// Std gives the duration as the standard library's.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String gives the form without zero units that ParseDuration takes: "1d12h",
// and weeks only where nothing else is left: "2w", but "15d".
func (d Duration) String() string {
	if d < 0 {
		// The magnitude of the least int64 is no int64; the standard form is
		// good enough for what no definition may hold.
		return time.Duration(d).String()
	}
	rest := time.Duration(d)
	if rest >= week && rest%week == 0 {
		return strconv.FormatInt(int64(rest/week), 10) + "w"
	}
	var b strings.Builder
	for _, u := range [...]struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if n := rest / u.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
		}
		rest %= u.size
	}
	if rest > 0 || b.Len() == 0 {
		b.WriteString(rest.String())
	}
	return b.String()
}

// MarshalText gives String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes what ParseDuration takes.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// millis gives the duration in whole milliseconds.
func (d Duration) millis() int64 { return time.Duration(d).Milliseconds() }
