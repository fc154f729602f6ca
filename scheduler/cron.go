package scheduler

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronSpec is a compiled cron expression in its zone. It is comparable, so
// that schedules which mean the same share one (unique.Make).
//
// Of the two ways in which it meets a clock that is put forward or back, the
// hour field chooses:
//
//   - fixed: the field has no star and leaves out some hour, so that its
//     author thought of a time of day. Each matching time fires once, when the
//     zone's clock first reaches or passes it. What lies in a skipped hour
//     thus fires right after the gap, all of it and what is due at that very
//     instant together once; what lies in a repeated hour, the first time.
//   - not fixed (*, */2, 0-23): its author thought of an interval. It fires
//     whenever the clock shows a matching time: nothing in the gap, and both
//     times in the repeated hour.
type cronSpec struct {
	second, minute uint64 // bit n stands for the value n, here and below
	hour, dom      uint32
	month          uint16
	dow            uint8
	// either says that a day need match only one of dom and dow: the rule of
	// old where both are restricted.
	either bool
	fixed  bool
	zone   *zone
}

// maxCronLen is the length in bytes of the longest expression taken.
const maxCronLen = 256

// cronParser reads the six fields, seconds included.
var cronParser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// cronFields are the fields in their order: their names, how many values each
// has, and a parser for it alone.
var cronFields = [...]struct {
	name   string
	size   int
	parser cron.Parser
}{
	{"second", 60, cron.NewParser(cron.Second)},
	{"minute", 60, cron.NewParser(cron.Minute)},
	{"hour", 24, cron.NewParser(cron.Hour)},
	{"day-of-month", 31, cron.NewParser(cron.Dom)},
	{"month", 12, cron.NewParser(cron.Month)},
	{"day-of-week", 7, cron.NewParser(cron.Dow)},
}

// cronNames are the expressions that have a name.
var cronNames = map[string]string{
	"@hourly":   "0 * * * *",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@weekly":   "0 0 * * 0",
	"@monthly":  "0 0 1 * *",
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
}

const cronHint = `use "minute hour day-of-month month day-of-week", with seconds in front if there are six fields, ` +
	`of numbers, names (MON, JAN), * , - and /; or @hourly, @daily, @weekly, @monthly, @yearly`

// parseCron compiles an expression in a zone.
func parseCron(expr string, z *zone) (cronSpec, *Error) {
	fail := func(hint, format string, args ...any) (cronSpec, *Error) {
		return cronSpec{}, invalid("schedule.cron", hint, format, args...)
	}
	if len(expr) > maxCronLen {
		return fail(cronHint, "the expression is %d bytes long: at most %d", len(expr), maxCronLen)
	}
	text := strings.TrimSpace(expr)
	switch {
	case strings.Contains(text, "TZ="):
		return fail(`name the zone in "time_zone"`, "%q names a time zone", expr)
	case strings.HasPrefix(text, "@every"):
		return fail(`use "every" in place of "cron"`, "%q is not a cron expression", expr)
	case strings.HasPrefix(text, "@reboot"):
		return fail(`use "at", "every" or a time of day`, "%q: a job that outlives restarts has no reboot", expr)
	case strings.HasPrefix(text, "@"):
		named, ok := cronNames[text]
		if !ok {
			return fail(cronHint, "%q is not a known name", expr)
		}
		text = named
	}
	fields := strings.Fields(text)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != len(cronFields) {
		return fail(cronHint, "%q has %d fields, not 5 or 6", expr, len(fields))
	}
	for i, field := range fields {
		if reason, hint := checkCronField(i, field); reason != "" {
			return fail(hint, "%s %q: %s", cronFields[i].name, field, reason)
		}
	}
	parsed, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		i, reason, hint := explainCron(fields)
		return fail(hint, "%s %q: %s", cronFields[i].name, fields[i], reason)
	}
	const star = 1 << 63 // robfig's mark of a field with a star
	set := parsed.(*cron.SpecSchedule)
	spec := cronSpec{
		second: set.Second &^ star, minute: set.Minute &^ star,
		hour: uint32(set.Hour), dom: uint32(set.Dom), month: uint16(set.Month), dow: uint8(set.Dow),
		either: set.Dom&star == 0 && set.Dow&star == 0,
		fixed:  !strings.ContainsAny(fields[2], "*?") && uint32(set.Hour) != 1<<24-1,
		zone:   z,
	}
	if spec.day(0) == timeEnd {
		return fail("no month named has such a day", "%q never matches", expr)
	}
	return spec, nil
}

// checkCronField says what the parser would not, or would panic at, in the i-th
// field and what to do: it lets only letters of fields pass, so that there is
// no TZ= in it, and no empty set.
func checkCronField(i int, field string) (reason, hint string) {
	for _, c := range field {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.ContainsRune("*?,-/", c):
		case c == '#':
			return "# (the n-th weekday) is not supported", cronHint
		default:
			return "unexpected " + string(c), cronHint
		}
	}
	for item := range strings.SplitSeq(field, ",") {
		if item == "" {
			return "an item of the list is empty", cronHint
		}
		// A step that leaves only its first value is a mistake for an interval
		// that cron cannot express: */90 minutes would fire every hour.
		_, step, ok := strings.Cut(item, "/")
		if n := strings.TrimLeft(step, "0"); ok && isNumber(n) && (len(n) > 2 || atoi(n) >= cronFields[i].size) {
			return "the step leaves a single value", `for longer intervals use "every", or name the value itself`
		}
	}
	return "", ""
}

// explainCron finds the field that the parser refuses, why, and what to do.
func explainCron(fields []string) (i int, reason, hint string) {
	var err error
	for i = range fields {
		if _, err = cronFields[i].parser.Parse(fields[i]); err != nil {
			break
		}
	}
	if err == nil {
		return 0, "the expression cannot be read", cronHint
	}
	reason, _, _ = strings.Cut(err.Error(), ": strconv")
	if value, ok := strings.CutPrefix(reason, "failed to parse int from "); ok {
		reason = strconv.Quote(value) + " is neither a number nor a name"
	}
	switch upper := strings.ToUpper(fields[i]); {
	case strings.HasSuffix(upper, "L"), strings.HasSuffix(upper, "W"):
		return i, reason, "L (the last) and W (the nearest weekday) are not supported"
	case cronFields[i].name == "day-of-week" && strings.Contains(upper, "7"):
		return i, reason, "Sunday is 0 or SUN"
	case strings.Contains(reason, "beyond end"):
		return i, reason, "write a range that wraps as two: 22-23,0-4"
	}
	return i, reason, cronHint
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// atoi reads a number of one or two digits.
func atoi(s string) int {
	n := 0
	for i := range len(s) {
		n = 10*n + int(s[i]-'0')
	}
	return n
}

// next gives the first instant at or after t, both in Unix seconds, at which
// the spec fires, or timeEnd.
func (c *cronSpec) next(t int64) int64 {
	for {
		s := c.zone.at(t)
		// What counts at t is every wall time from the one that t itself
		// shows; for a fixed spec, from the first that was not shown before.
		from := t + s.offset
		if c.fixed {
			if t == s.start {
				from = s.high
			} else {
				from = max(from, s.high)
			}
		}
		wall := c.match(from)
		if wall == timeEnd {
			return timeEnd
		}
		if due := max(wall-s.offset, t); due < s.end {
			return due
		}
		// In a later span, then. No clock is back at from once two shifts have
		// passed, nor at wall before a shift ahead of it: spans between these
		// hold nothing.
		far := s.end > t+2*maxShift
		if t = s.end; far {
			t = max(t, wall-maxShift)
		}
	}
}

// match gives the first wall time at or after w that matches, both in seconds
// since 1970, or timeEnd.
func (c *cronSpec) match(w int64) int64 {
	const daySeconds = 24 * 3600
	today := w / daySeconds
	if w%daySeconds < 0 {
		today--
	}
	d := c.day(today)
	if d == today {
		if s := c.timeOfDay(int(w - today*daySeconds)); s >= 0 {
			return today*daySeconds + int64(s)
		}
		d = c.day(today + 1)
	}
	if d == timeEnd {
		return timeEnd
	}
	return d*daySeconds + int64(c.timeOfDay(0))
}

// timeOfDay gives the first matching second of the day at or after s, or -1.
func (c *cronSpec) timeOfDay(s int) int {
	h, m := s/3600, s/60%60
	hour := from(uint64(c.hour), h)
	if hour == h {
		minute := from(c.minute, m)
		if minute == m {
			if second := from(c.second, s%60); second < 60 {
				return h*3600 + m*60 + second
			}
			minute = from(c.minute, m+1)
		}
		if minute < 60 {
			return h*3600 + minute*60 + from(c.second, 0)
		}
		hour = from(uint64(c.hour), h+1)
	}
	if hour >= 24 {
		return -1
	}
	return hour*3600 + from(c.minute, 0)*60 + from(c.second, 0)
}

// from gives the least value in the set that is at least n, or 64.
func from(set uint64, n int) int { return bits.TrailingZeros64(set >> n << n) }

// gap gives the least distance in seconds between two successive matches, as a
// thousand of them from the year 2000 on have it. Where a clock is put forward
// or back, two may come closer.
func (c *cronSpec) gap() int64 {
	const year2000 = 946684800
	least, w := int64(timeEnd), c.match(year2000)
	for range 1000 {
		next := c.match(w + 1)
		least, w = min(least, next-w), next
	}
	return least
}

// day gives the first matching day at or after d, both in days since 1970, or
// timeEnd if there is none within the eight years that can lie between two
// 29ths of February.
func (c *cronSpec) day(d int64) int64 {
	year, month, dom := time.Unix(d*24*3600, 0).UTC().Date()
	first := d - int64(dom-1) // the first of the month
	for range 8*12 + 2 {
		size := daysIn(year, month)
		if c.month>>month&1 != 0 {
			if n := from(c.days(first, size), dom); n <= size {
				return first + int64(n-1)
			}
		}
		first += int64(size)
		dom = 1
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return timeEnd
}

// days gives the days of month that match in a month that begins at day first.
func (c *cronSpec) days(first int64, size int) uint64 {
	// The weekdays of six weeks from Sunday on, shifted so that the first of
	// the month comes at bit 1. 1970 began on a Thursday.
	const weeks = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28 | 1<<35
	weekday := ((first+4)%7 + 7) % 7
	byWeekday := uint64(c.dow) * weeks >> weekday << 1
	set := uint64(c.dom) & byWeekday
	if c.either {
		set = uint64(c.dom) | byWeekday
	}
	return set & (1<<(size+1) - 2)
}

func daysIn(year int, month time.Month) int {
	switch month {
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	}
	return 31
}
