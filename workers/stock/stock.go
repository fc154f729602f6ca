// Package stock has the services that every Bellhop can run at once: they show
// what arrives, and need nothing.
package stock

import (
	"context"
	"encoding/hex"
	"log/slog"
	"unicode"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/workers"
)

// The names of the services.
const (
	LogInput = "log-input"
	Echo     = "echo"
)

// maxShown bounds what is logged of a payload, in bytes.
const maxShown = 1 << 10

// Register adds the stock services to a worker: log-input logs all that it was
// given, payload included, for that is its service; echo returns the payload.
func Register(w *workers.Worker, log *slog.Logger) {
	w.HandleFunc(LogInput, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		log.LogAttrs(ctx, slog.LevelInfo, LogInput, attrs(t)...)
		return nil, nil
	})
	w.HandleFunc(Echo, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		return t.Payload, nil
	})
}

// attrs is all of a trigger that says something.
func attrs(t *workers.Trigger) []slog.Attr {
	a := []slog.Attr{slog.String("run", t.Run)}
	if t.Job != "" {
		name, err := workers.Unescape(t.Job)
		if err != nil {
			name = t.Job
		}
		a = append(a, slog.String("job", name))
	}
	if t.Channel != "" {
		a = append(a, slog.String("channel", t.Channel))
	}
	if !t.Due.IsZero() {
		a = append(a, slog.String("due", t.Due.Format(workers.DueLayout)))
	}
	a = append(a, slog.Int("attempt", t.Attempt))
	if t.LastError != "" {
		a = append(a, slog.String("last_error", t.LastError))
	}
	a = append(a, slog.Int("size", len(t.Payload)))
	return append(a, payload(t.Payload))
}

// payload shows what is text as text, anything else as hex, cut at maxShown.
func payload(b []byte) slog.Attr {
	text, more := printable(b), ""
	if len(b) > maxShown {
		b, more = b[:maxShown], "…"
	}
	if !text {
		return slog.String("payload_hex", hex.EncodeToString(b)+more)
	}
	for !utf8.Valid(b) { // a character was cut in two
		b = b[:len(b)-1]
	}
	return slog.String("payload", string(b)+more)
}

// printable says whether b is UTF-8 text: no control characters but white space.
func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
	}
	return true
}
