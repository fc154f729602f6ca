package scheduler

import (
	"strconv"
	"strings"
	"time"
)

// Explain says in plain words when the schedule is due: "at 03:00 and 04:00,
// Monday to Friday, in Europe/Prague".
func (s *Schedule) Explain() (string, error) {
	plan, err := s.Compile(0)
	if err != nil {
		return "", err
	}
	const full = "Monday, 2 January 2006 at 15:04:05 MST"
	if !s.At.IsZero() {
		return "once, on " + s.At.UTC().Format(full), nil
	}
	var words string
	zone := time.UTC
	if plan.isCron() {
		spec := plan.cron.Value()
		words, zone = spec.words()+", in "+spec.zone.loc.String(), spec.zone.loc
	} else {
		words = "every " + s.Every.words()
	}
	if !s.Start.IsZero() {
		words += ", from " + s.Start.In(zone).Format(full) + " on"
	}
	if !s.End.IsZero() {
		words += ", until " + s.End.In(zone).Format(full)
	}
	if s.MaxRuns > 0 {
		words += ", " + plural(s.MaxRuns, "time") + " in all"
	}
	if s.Jitter > 0 {
		words += ", each run up to " + s.Jitter.words() + " later"
	}
	return words, nil
}

// words writes a duration out: "1 hour and 30 minutes".
func (d Duration) words() string {
	var all []string
	rest := d.Std()
	for _, u := range [...]struct {
		size time.Duration
		name string
	}{{week, "week"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}, {time.Millisecond, "millisecond"}} {
		if u.size == week && rest%week != 0 {
			continue // 10 days, and not a week and 3
		}
		if n := rest / u.size; n > 0 {
			all = append(all, plural(int64(n), u.name))
		}
		rest %= u.size
	}
	if len(all) == 1 {
		return strings.TrimPrefix(all[0], "1 ") // every hour
	}
	return and(all)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

// and joins words: "a", "a and b", "a, b and c".
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
