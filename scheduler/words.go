package scheduler

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// mostTimes is how many times of day are named one by one.
const mostTimes = 8

// words says when the spec matches, but for the zone.
func (c *cronSpec) words() string {
	time, days := c.timeWords(), c.dayWords()
	if days == "" && strings.HasPrefix(time, "at ") && !strings.Contains(time, "every") {
		days = "every day"
	}
	if days == "" {
		return time
	}
	return time + ", " + days
}

// timeWords says when on a day.
func (c *cronSpec) timeWords() string {
	hours, minutes, seconds := values(uint64(c.hour)), values(c.minute), values(c.second)
	switch {
	case len(seconds) > 1:
		return secondWords(seconds, minutes, hours)
	case len(minutes) > 1 && (len(hours) == 24 || len(hours)*len(minutes) > mostTimes):
		return minuteWords(minutes, len(hours) == 24) + atSecond(seconds[0]) + hourWords(hours)
	case len(hours) == 24 && minutes[0]+seconds[0] == 0:
		return "every hour, on the hour"
	case len(hours) == 24:
		return "every hour, at " + clockMinute(minutes[0], seconds[0])
	}
	if step := stepOf(hours); len(minutes) == 1 && len(hours) > 3 && step > 0 {
		every := "every hour"
		if step > 1 {
			every = fmt.Sprintf("every %d hours", step)
		}
		return every + " from " + timeOfDay(hours[0], minutes[0], seconds[0]) + " to " + timeOfDay(hours[len(hours)-1], minutes[0], seconds[0])
	}
	var times []string
	for _, h := range hours {
		for _, m := range minutes {
			times = append(times, timeOfDay(h, m, seconds[0]))
		}
	}
	return "at " + and(times)
}

// secondWords says which of several seconds, of which minutes and hours.
func secondWords(seconds, minutes, hours []int) string {
	words := "at the seconds " + numbers(seconds)
	if step, ok := cycle(seconds, 60); ok {
		words = every(step, "second")
	}
	if len(minutes) < 60 {
		words += " of the " + noun(minutes, "minute") + " " + numbers(minutes)
		if len(hours) == 24 {
			words += " of every hour"
		}
	}
	return words + hourWords(hours)
}

// minuteWords says which of several minutes.
func minuteWords(minutes []int, always bool) string {
	if step, ok := cycle(minutes, 60); ok {
		return every(step, "minute")
	}
	words := "at the minutes " + numbers(minutes)
	if always {
		words += " of every hour"
	}
	return words
}

func atSecond(s int) string {
	if s == 0 {
		return ""
	}
	return fmt.Sprintf(", at second %d", s)
}

// hourWords says in which hours something goes on.
func hourWords(hours []int) string {
	last := hours[len(hours)-1]
	switch step := stepOf(hours); {
	case len(hours) == 24:
		return ""
	case len(hours) == 1 || step == 1:
		return fmt.Sprintf(", from %02d:00 to %02d:59", hours[0], last)
	}
	if step, ok := cycle(hours, 24); ok {
		return fmt.Sprintf(", in every %s hour from 00:00 on", ordinal(step))
	}
	return ", in the hours " + numbers(hours)
}

// clockMinute is a place in an hour: 5 minutes past, or with seconds.
func clockMinute(m, s int) string {
	if s == 0 {
		return plural(int64(m), "minute") + " past"
	}
	return fmt.Sprintf("%02d:%02d past", m, s)
}

func timeOfDay(h, m, s int) string {
	if s == 0 {
		return fmt.Sprintf("%02d:%02d", h, m)
	}
	return fmt.Sprintf("%02d:%02d:%02d", h, m, s)
}

// dayWords says on which days; it is empty for every day.
func (c *cronSpec) dayWords() string {
	doms, dows := values(uint64(c.dom)), values(uint64(c.dow))
	var parts []string
	monthly, weekly := len(doms) < 31, len(dows) < 7
	switch {
	case monthly && weekly && c.either:
		parts = append(parts, "on "+domWords(doms)+", and on every "+dowWords(dows, "and"))
	case monthly && weekly:
		parts = append(parts, "on "+domWords(doms)+", if it is a "+dowWords(dows, "or"))
	case monthly:
		parts = append(parts, "on "+domWords(doms))
	case weekly && len(dows) > 2 && stepOf(dows) == 1:
		parts = append(parts, time.Weekday(dows[0]).String()+" to "+time.Weekday(dows[len(dows)-1]).String())
	case weekly:
		parts = append(parts, "on "+dowWords(dows, "and"))
	}
	if months := values(uint64(c.month)); len(months) < 12 {
		if len(months) > 2 && stepOf(months) == 1 {
			parts = append(parts, "from "+time.Month(months[0]).String()+" to "+time.Month(months[len(months)-1]).String())
		} else {
			parts = append(parts, "in "+and(namesOf(months, func(m int) string { return time.Month(m).String() })))
		}
	}
	return strings.Join(parts, ", ")
}

func domWords(days []int) string {
	if len(days) > 2 && stepOf(days) == 1 {
		return "the " + ordinal(days[0]) + " to the " + ordinal(days[len(days)-1]) + " of the month"
	}
	return "the " + and(namesOf(days, ordinal)) + " of the month"
}

func dowWords(days []int, join string) string {
	words := and(namesOf(days, func(d int) string { return time.Weekday(d).String() }))
	if i := strings.LastIndex(words, " and "); i >= 0 {
		words = words[:i] + " " + join + " " + words[i+len(" and "):]
	}
	return words
}

// values gives the members of a set in their order.
func values(set uint64) []int {
	var all []int
	for ; set != 0; set &= set - 1 {
		all = append(all, bits.TrailingZeros64(set))
	}
	return all
}

// stepOf gives the distance of values that are evenly spaced, else 0.
func stepOf(v []int) int {
	if len(v) < 2 {
		return 0
	}
	step := v[1] - v[0]
	for i := range v[1:] {
		if v[i+1]-v[i] != step {
			return 0
		}
	}
	return step
}

// cycle tells whether values go evenly round and round, from zero on.
func cycle(v []int, size int) (step int, ok bool) {
	step = stepOf(v)
	return step, step > 0 && v[0] == 0 && step*len(v) == size
}

func every(step int, what string) string {
	if step == 1 {
		return "every " + what
	}
	return fmt.Sprintf("every %d %ss", step, what)
}

func noun(v []int, what string) string {
	if len(v) == 1 {
		return what
	}
	return what + "s"
}

func namesOf(v []int, name func(int) string) []string {
	var all []string
	for _, n := range v {
		all = append(all, name(n))
	}
	return all
}

// numbers writes values with their ranges: "0, 5 to 9 and 30".
func numbers(v []int) string {
	var all []string
	for i := 0; i < len(v); {
		end := i
		for end+1 < len(v) && v[end+1] == v[end]+1 {
			end++
		}
		if end > i+1 {
			all = append(all, fmt.Sprintf("%d to %d", v[i], v[end]))
		} else {
			end = i
			all = append(all, strconv.Itoa(v[i]))
		}
		i = end + 1
	}
	return and(all)
}

func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
