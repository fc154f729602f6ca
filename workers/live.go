package workers

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

// Bounds of what a run tells of itself.
const (
	maxLine  = 1 << 10 // bytes of a line
	maxNote  = 200     // bytes of a note
	maxLogs  = 8 << 10 // bytes of lines that are kept, the last ones
	maxLines = 256     // … and how many
	liveLine = 100     // lines a second that are published as they come
	liveNote = 100 * time.Millisecond
)

// LogLine is a line that a service has logged of its run.
type LogLine struct {
	// N counts the lines of an attempt, from 1: a reader sees what is missing.
	N    int       `json:"n"`
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Progress is how far a service says that its run has come.
type Progress struct {
	// Fraction is from 0 to 1.
	Fraction float64   `json:"fraction"`
	Note     string    `json:"note,omitempty"`
	Time     time.Time `json:"time"`
}

// Report says how far the run whose context it is has come: a fraction from 0 to
// 1 and a note of at most 200 bytes on one line. Whoever looks at the run sees
// it while it goes on, and its record keeps the last one. Report as often as you
// like: it is published ten times a second at most. Outside of a run, and after
// its end, it does nothing. It is safe for concurrent use.
func Report(ctx context.Context, fraction float64, note string) {
	if a := attemptOf(ctx); a != nil && !math.IsNaN(fraction) {
		a.live.diary(a).report(Progress{min(max(fraction, 0), 1), tidy(note, maxNote), time.Now().UTC()})
	}
}

// Log adds a line to the log of the run whose context it is. It is published as
// it comes, for `bellhop run logs -f`, and the run's record keeps the last 8 KiB;
// a line has 1 KiB at most, and several in one text are several. Outside of a
// run, and after its end, it does nothing. It is safe for concurrent use.
func Log(ctx context.Context, text string) {
	if a := attemptOf(ctx); a != nil {
		_, _ = logWriter{a}.Write([]byte(text)) // never fails
	}
}

// Logger gives a logger whose lines are those of Log: level, message, and what
// belongs to it as key=value.
func Logger(ctx context.Context) *slog.Logger {
	a := attemptOf(ctx)
	if a == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(logWriter{a}, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if len(groups) == 0 && attr.Key == slog.TimeKey { // the line has one
				return slog.Attr{}
			}
			return attr
		},
	}))
}

// logWriter makes lines of a run's log of what is written to it.
type logWriter struct{ *attempt }

// Write takes whole lines.
func (w logWriter) Write(b []byte) (int, error) {
	for line := range strings.SplitSeq(strings.TrimRight(string(b), "\r\n"), "\n") {
		w.live.diary(w.attempt).log(tidy(strings.TrimSuffix(line, "\r"), maxLine))
	}
	return len(b), nil
}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// tidy makes text one clean line of at most so many bytes: what is not UTF-8, or
// would command a terminal, is no part of it.
func tidy(text string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			return '\uFFFD'
		}
		return r
	}, text[:min(len(text), 4*most)])
	if cutOff := string(cut([]byte(clean), most)); len(cutOff) < len(clean) || len(text) > 4*most {
		return string(cut([]byte(clean), most-len("…"))) + "…"
	}
	return clean
}

// live is what a service tells of a run while it goes on. One that tells nothing
// costs nothing.
type live struct{ told atomic.Pointer[diary] }

// diary gives the run's, and makes it first if there is none.
func (l *live) diary(a *attempt) *diary {
	if d := l.told.Load(); d != nil {
		return d
	}
	l.told.CompareAndSwap(nil, &diary{a: a, pace: rate.NewLimiter(liveLine, liveLine)})
	return l.told.Load()
}

// into puts it into the record. The service may go on telling, to nobody.
func (l *live) into(r *Run) {
	if d := l.told.Load(); d != nil {
		d.close(r)
	}
}

// diary is what was told.
type diary struct {
	a    *attempt
	pace *rate.Limiter // of lines that are published

	mu       sync.Mutex
	over     bool
	lines    []LogLine // the last ones
	size     int       // their bytes
	count    int       // of all
	progress *Progress
	sent     time.Time   // when progress was published
	waiting  *time.Timer // until it is published again
}

func (d *diary) log(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	d.count++
	line := LogLine{d.count, time.Now().UTC(), text}
	d.lines = append(d.lines, line)
	d.size += len(text)
	first := 0
	for d.size > maxLogs || len(d.lines)-first > maxLines {
		d.size -= len(d.lines[first].Text)
		first++
	}
	d.lines = d.lines[first:]
	if d.pace.Allow() {
		d.publish(Event{Type: EventLog, Time: line.Time, Line: &line})
	}
}

func (d *diary) report(p Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	d.progress = &p
	if d.waiting != nil {
		return
	}
	if wait := liveNote - time.Since(d.sent); wait > 0 {
		d.waiting = time.AfterFunc(wait, d.flush)
		return
	}
	d.tell()
}

// flush publishes the progress that came too soon.
func (d *diary) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = nil
	if !d.over {
		d.tell()
	}
}

func (d *diary) tell() {
	d.sent = time.Now()
	d.publish(Event{Type: EventProgress, Time: d.progress.Time, Progress: d.progress})
}

// publish sends an event to whoever listens. To lose one does no harm: the record
// has all.
func (d *diary) publish(e Event) {
	a := d.a
	e.Run, e.Attempt, e.Worker = a.t.Run, a.t.Attempt, a.w.o.Name
	b, err := json.Marshal(e)
	if err == nil && a.w.nc.IsConnected() {
		err = a.w.nc.Publish(a.w.o.Namespace.LiveSubject(a.t.Run), b)
	}
	if err != nil {
		a.w.log.Debug("event not published", "service", a.t.Service, "run", a.t.Run, "error", err)
	}
}

// snapshot gives what was told so far.
func (d *diary) snapshot() (lines []LogLine, p *Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]LogLine(nil), d.lines...), d.progress
}

// close ends the diary and hands it over.
func (d *diary) close(r *Run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.waiting != nil {
		d.waiting.Stop()
	}
	r.Logs, r.LogsDropped, r.Progress = d.lines, d.count-len(d.lines), d.progress
}
