package scheduler

import (
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// position is a place in the order of all occurrences, which is by due time
// and then by key: after every occurrence up to and including (time, key). No
// job has an empty key, so (t, "") is just before everything due at t.
type position struct {
	time stamp
	key  string
}

// past tells whether p is at or after the occurrence.
func (p position) past(due int64, key string) bool {
	return due < int64(p.time) || due == int64(p.time) && key <= p.key
}

// after is the argument to Plan.Next that gives the job's first due time that
// p has not passed.
func (p position) after(key string) int64 {
	if key > p.key {
		return int64(p.time) - 1
	}
	return int64(p.time)
}

// stamp is a time in unix milliseconds; as text it is in the layout of
// workers.HeaderDue, for people.
type stamp int64

func (s stamp) Time() time.Time { return time.UnixMilli(int64(s)).UTC() }

func (s stamp) String() string { return s.Time().Format(workers.DueLayout) }

// MarshalText gives String.
func (s stamp) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes RFC 3339, cut to milliseconds.
func (s *stamp) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("parse time: %w", err)
	}
	*s = stamp(t.UnixMilli())
	return nil
}

// nowStamp is the wall clock's time. Elapsed time is never measured with it.
func nowStamp() stamp { return stamp(time.Now().UnixMilli()) }
