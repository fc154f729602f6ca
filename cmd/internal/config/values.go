package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Sync says when the embedded server syncs its files to disk: zero is after
// every write, anything else is the interval.
type Sync time.Duration

// UnmarshalText reads "always" or a duration.
func (s *Sync) UnmarshalText(b []byte) error {
	if string(b) == "always" {
		*s = 0
		return nil
	}
	d, err := time.ParseDuration(string(b))
	if err != nil || d <= 0 {
		return errors.New("use always, or an interval above zero such as 100ms or 1s")
	}
	*s = Sync(d)
	return nil
}

// String is the inverse of UnmarshalText.
func (s Sync) String() string {
	if s == 0 {
		return "always"
	}
	return time.Duration(s).String()
}

// Size is a number of bytes.
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1}, {"", 1},
}

// UnmarshalText reads a whole number of bytes, or of a unit: 4GiB, 500MB.
func (s *Size) UnmarshalText(b []byte) error {
	want := errors.New("use a whole number of bytes or of a unit, such as 4GiB, 512MiB or 500MB")
	for _, u := range units {
		number, found := strings.CutSuffix(string(b), u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/u.bytes {
			return want
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return want
}
