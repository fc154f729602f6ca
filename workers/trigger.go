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
	// Parent is the run that this one follows in a chain, empty if there is
	// none, and Depth how many were before it.
	Parent string
	Depth  int
	// Attempt counts the times that this run was begun, from 1: also those
	// that died with their workers, but not those that a stopping worker has
	// given back. Where nobody can know whether the first delivery was begun, it
	// counts as if it was.
	Attempt int
	// LastError is what the last attempt that came to an end ended with; empty
	// at the first one. Whatever the history keeps, it is known.
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
	t, _, err := readTrigger(nil, service, h, payload)
	if t.Run == "" {
		t.Run = where
	}
	return t, err
}

// readTrigger is parseTrigger with a memory. A run without an id is to be given
// one. reply is where somebody waits for the end of the run, as the message says it.
func readTrigger(known *policies, service string, h nats.Header, payload []byte) (t Trigger, reply string, err error) {
	t = Trigger{Service: service, Attempt: 1, Payload: payload}
	var bad []error
	for name, values := range h {
		if len(values) == 0 {
			continue
		}
		err = nil
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
		case HeaderParent:
			t.Parent, err = parseRun(values[0])
		case HeaderDepth:
			t.Depth, err = parseDepth(values[0])
		case HeaderReply: // the attempt's, not the service's: see answers
			reply = values[0]
		case HeaderPolicy:
			t.Policy, err = known.parse(values[0])
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
	if bad != nil {
		err = errors.Join(bad...)
	}
	return t, reply, err
}

func parseRun(s string) (string, error) {
	if len(s) > maxRunLen {
		return "", fmt.Errorf("%d bytes, at most %d", len(s), maxRunLen)
	}
	if simpleText(s) { // mostly
		return s, nil
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
	if due = due.UTC(); due.Before(year1) || !due.Before(year10000) { // JSON has no others
		return time.Time{}, errors.New("not a year from 1 to 9999")
	}
	return due, nil
}

var (
	year1     = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	year10000 = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// maxDepthSaid is the most that a message may say of its depth.
const maxDepthSaid = 9999

func parseDepth(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxDepthSaid {
		return 0, fmt.Errorf("not a number from 1 to %d", maxDepthSaid)
	}
	return n, nil
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
	return string(appendPlace(nil, stream, sequence))
}

func appendPlace(b []byte, stream string, sequence uint64) []byte {
	return strconv.AppendUint(append(append(b, stream...), ':'), sequence, 10)
}
