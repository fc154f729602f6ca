// Package screen shows runs on a terminal, one line each, and keeps whatever a
// name or an error holds from moving its cursor.
package screen

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/workers"
)

// Widths of the columns, in characters. What is longer pushes the rest of its
// line to the right.
const (
	jobWidth     = 20
	serviceWidth = 14
)

const (
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// Screen shows runs, one line each:
//
//	14:03:22.000   +1.2ms  My Sample             log-input       ok        310µs
//
// which is when it was due, how late it started, the job, the service, the
// outcome and how long it took.
type Screen struct {
	out    io.Writer
	colour bool

	mu           sync.Mutex // workers run many at a time
	runs, failed int
}

// New shows runs on out, in colours if they are asked for.
func New(out io.Writer, colour bool) *Screen { return &Screen{out: out, colour: colour} }

// Say prints lines that are not runs.
func (s *Screen) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// Run prints one attempt. It may be called by many goroutines.
func (s *Screen) Run(r workers.Run) {
	due, late := r.Due, "+"+Short(r.Lateness())
	if due.IsZero() {
		due, late = r.Started, "-" // rung, and not due at any time
	}
	line := fmt.Sprintf("%s %9s  %s  %s  %s %8s",
		s.paint(faint, due.Local().Format("15:04:05.000")), late,
		pad(JobName(r.Job), jobWidth), pad(r.Service, serviceWidth),
		s.paint(outcomeColour(r.Outcome), pad(r.Outcome, 9)), Short(r.Duration()))
	if r.Error != "" {
		line += "  " + OneLine(r.Error)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	if r.Outcome != workers.OutcomeOK {
		s.failed++
	}
	fmt.Fprintln(s.out, line)
}

// Total says what all the runs came to.
func (s *Screen) Total() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.runs == 0:
		return "no runs"
	case s.failed == 0:
		return fmt.Sprintf("%s, all ok", count(s.runs, "run"))
	}
	return fmt.Sprintf("%s, %d not ok", count(s.runs, "run"), s.failed)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func (s *Screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return colour + text + reset
}

func outcomeColour(outcome string) string {
	switch outcome {
	case workers.OutcomeOK:
		return green
	case workers.OutcomeFailed, workers.OutcomeTimeout, workers.OutcomeDead:
		return red
	}
	return yellow
}

// JobName gives a job's name, whatever somebody has put in its place.
func JobName(key string) string {
	if key == "" {
		return "-"
	}
	name, err := workers.Unescape(key)
	if err != nil {
		return OneLine(key)
	}
	return OneLine(name)
}

// OneLine gives a bounded text that cannot move the cursor.
func OneLine(s string) string {
	const most = 160
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// pad fills text up to a width, counted in characters.
func pad(s string, width int) string {
	if n := utf8.RuneCountInString(s); n < width {
		return s + strings.Repeat(" ", width-n)
	}
	return s
}

// Short writes a duration with three digits, and seconds at the least: 310µs,
// 1.23ms, 2.5s, 1m30s.
func Short(d time.Duration) string {
	unit := time.Nanosecond
	for rest := d; rest >= 1000 && unit < time.Second; rest /= 10 {
		unit *= 10
	}
	return d.Round(unit).String()
}
