package workers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Bounds of what a message may say of itself, in bytes. A job's key has at
// most 600, a run id some more.
const (
	maxRunLen    = 1024
	maxKeyLen    = 600
	maxPolicyLen = 4096
)

// Trigger is what a service is given: one request to run, whether its time has
// come or somebody rang.
type Trigger struct {
	// Run is the id of the run, the same at every attempt: use it as an
	// idempotency key. See HeaderRun for its form; a message without one is
	// named after its place in the stream.
	Run string
	// Job is the key of the job, empty if there is none; see Unescape.
	Job string
	// Service is the service that is rung.
	Service string
	// Channel says who rang; empty when nobody said so.
	Channel string
	// Due is when the run was due in UTC, zero if it has no such time.
	Due time.Time
	// Attempt counts the deliveries of this message, from 1: an attempt that
	// died with its worker counts, too.
	Attempt int
	// LastError is what the attempt before ended with, as far as the job's
	// latest run record knows it; empty at the first attempt.
	LastError string
	// Payload is passed on as it came. It must not be modified.
	Payload []byte
	// Policy is the policy that came along; what it leaves open is the worker's
	// to say.
	Policy Policy
	// Header holds all other headers, nil if there are none.
	Header nats.Header
}

// parseTrigger reads a message. It always gives a usable trigger: what is
// absent or absurd is left at its default, and the error, meant for the log,
// says which headers were ignored. where names the message's place, for a run
// id that stays the same over redeliveries.
func parseTrigger(service string, h nats.Header, payload []byte, where string) (Trigger, error) {
	t := Trigger{Service: service, Attempt: 1, Payload: payload}
	var bad []error
	for name, values := range h {
		if len(values) == 0 {
			continue
		}
		var err error
		switch name {
		case HeaderRun:
			t.Run, err = parseRun(values[0])
		case HeaderJob:
			t.Job, err = parseKey(values[0])
		case HeaderDue:
			t.Due, err = parseDue(values[0])
		case HeaderChannel:
			if err = CheckChannel(values[0]); err == nil {
				t.Channel = values[0]
			}
		case HeaderPolicy:
			t.Policy, err = parsePolicy(values[0])
		default:
			if !strings.HasPrefix(name, "Nats-") {
				if t.Header == nil {
					t.Header = make(nats.Header)
				}
				t.Header[name] = values
			}
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", name, err))
		}
	}
	if t.Run == "" {
		t.Run = where
	}
	return t, errors.Join(bad...)
}

func parseRun(s string) (string, error) {
	if len(s) > maxRunLen {
		return "", fmt.Errorf("%d bytes, at most %d", len(s), maxRunLen)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("not printable text")
	}
	return s, nil
}

func parseKey(s string) (string, error) {
	if len(s) > maxKeyLen {
		return "", fmt.Errorf("%d bytes, at most %d", len(s), maxKeyLen)
	}
	if _, err := Unescape(s); err != nil {
		return "", err
	}
	return s, nil
}

func parseDue(s string) (time.Time, error) {
	due, err := time.Parse(time.RFC3339, s) // takes fractions, too
	if err != nil {
		return time.Time{}, errors.New("not a time in RFC 3339")
	}
	if due = due.UTC(); due.Year() < 1 || due.Year() > 9999 { // JSON has no others
		return time.Time{}, errors.New("not a year from 1 to 9999")
	}
	return due, nil
}

func parsePolicy(s string) (Policy, error) {
	if len(s) > maxPolicyLen {
		return Policy{}, fmt.Errorf("%d bytes, at most %d", len(s), maxPolicyLen)
	}
	var p Policy
	if err := json.Unmarshal([]byte(s), &p); err != nil {
		return Policy{}, errors.New("not a policy in JSON")
	}
	return p, nil
}

// place names a message by stream and sequence: "bellhop-rings:17".
func place(stream string, sequence uint64) string {
	return stream + ":" + strconv.FormatUint(sequence, 10)
}

// traceID is the trace id of a W3C traceparent header, empty without a valid one.
func traceID(h nats.Header) string {
	v := h["traceparent"]
	if len(v) == 0 || len(v[0]) < 55 || v[0][2] != '-' || v[0][35] != '-' {
		return ""
	}
	id := v[0][3:35]
	if strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
