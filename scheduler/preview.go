package scheduler

import "time"

// Next gives the first due times after the given one, at most count, of the
// schedule as if a job with it were made at that time. A job's own jitter is
// not in them: it depends on its name.
func (s *Schedule) Next(after time.Time, count int) ([]time.Time, error) {
	plan, err := s.Compile(after.UnixMilli())
	if err != nil {
		return nil, err
	}
	plan.jitter = 0
	var times []time.Time
	for due := after.UnixMilli(); len(times) < count; {
		if due = plan.Next("", due); due == Never {
			break
		}
		times = append(times, time.UnixMilli(due).UTC())
		if s.MaxRuns > 0 && int64(len(times)) == s.MaxRuns {
			break
		}
	}
	return times, nil
}
