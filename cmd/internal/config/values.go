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

// Count is a whole number above zero; zero where nothing is said.
type Count int64

// UnmarshalText reads it.
func (c *Count) UnmarshalText(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 32)
	if err != nil || n <= 0 {
		return errors.New("use a whole number from 1 to 2147483647, or leave it unset")
	}
	*c = Count(n)
	return nil
}

// Age is a duration of at least a second; zero where nothing is said.
type Age time.Duration

// UnmarshalText reads it.
func (a *Age) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil || d < time.Second {
		return errors.New("use a duration of at least 1s, such as 48h or 720h, or leave it unset")
	}
	*a = Age(d)
	return nil
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
