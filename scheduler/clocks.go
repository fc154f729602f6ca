package scheduler

import (
	"fmt"
	"strings"
	"time"
)

// ClockChange is a moment at which a zone's clock is put forward or back, and
// what that does to a schedule.
type ClockChange struct {
	// At is the moment, in the zone, by the clock as it is from then on.
	At time.Time `json:"at"`
	// From and To are what the clock shows before and after: "02:00", "03:00".
	From string `json:"from"`
	To   string `json:"to"`
	// Note says what becomes of the runs in between.
	Note string `json:"note"`
}

// ClockChanges gives the changes of the schedule's clock between two times that
// make a difference to it. An interval and a one-time schedule know none.
func (s *Schedule) ClockChanges(from, to time.Time) ([]ClockChange, error) {
	plan, err := s.Compile(0)
	if err != nil || !plan.isCron() {
		return nil, err
	}
	spec := plan.cron.Value()
	var all []ClockChange
	for before := spec.zone.bounds(from.Unix()); before.end < to.Unix(); {
		after := spec.zone.bounds(before.end)
		if note := spec.change(before, after); note != "" {
			const layout = "15:04"
			wall := func(offset int64) string { return time.Unix(after.start+offset, 0).UTC().Format(layout) }
			all = append(all, ClockChange{
				At:   time.Unix(before.end, 0).In(spec.zone.loc),
				From: wall(before.offset), To: wall(after.offset), Note: note,
			})
		}
		before = after
	}
	return all, nil
}

// change says what becomes of what matches in the wall time that is skipped, or
// shown twice, between two spans; it is empty if nothing does.
func (c *cronSpec) change(before, after *span) string {
	from, to := before.end+before.offset, before.end+after.offset
	forward := from < to
	if !forward {
		from, to = to, from
	}
	first := c.match(from)
	if first >= to {
		return ""
	}
	if !c.fixed && forward {
		return "what would be due in between does not exist, and is left out"
	}
	if !c.fixed {
		return "what is due in between comes twice, and runs both times"
	}
	what, does, runs := time.Unix(first, 0).UTC().Format(time.TimeOnly), "does", "it runs"
	what = strings.TrimSuffix(what, ":00")
	if c.match(first+1) < to {
		what, does, runs = what+" and what follows in between", "do", "they run"
	}
	if forward {
		return fmt.Sprintf("%s %s not exist: %s once, right after the gap", what, does, runs)
	}
	come := map[string]string{"does": "comes", "do": "come"}[does]
	return fmt.Sprintf("%s %s twice: %s the first time alone", what, come, runs)
}
