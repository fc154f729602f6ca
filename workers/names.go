package workers

import (
	"errors"
	"fmt"
	"strings"
)

// Version is Bellhop's version, of every binary and library in this module:
// semver, without a leading v.
const Version = "0.1.0"

// The headers of a trigger or a ring. All are optional: a message without any
// of them is run with the defaults.
const (
	// HeaderRun is the run id: "<job key>@<due, unix ms>" for a trigger,
	// "<channel>:<id>" for a ring. Services use it as their idempotency key.
	HeaderRun = "Bellhop-Run"
	// HeaderJob is the key of the job, if there is one.
	HeaderJob = "Bellhop-Job"
	// HeaderDue is when the run was due, in UTC, in the form of DueLayout.
	HeaderDue = "Bellhop-Due"
	// HeaderChannel says who rang: one of the Channel constants or the name of
	// a channel.
	HeaderChannel = "Bellhop-Channel"
	// HeaderParent is the id of the run that this one follows in a chain, and
	// HeaderDepth how many runs were before it, from 1.
	HeaderParent = "Bellhop-Parent"
	HeaderDepth  = "Bellhop-Depth" // see MaxDepth
	// HeaderReply is a token that somebody waits for on Namespace.ReplySubject:
	// there the run's output, or its error, is published when it has ended.
	HeaderReply = "Bellhop-Reply"
	// HeaderPolicy is a Policy in JSON; only what differs from the defaults.
	HeaderPolicy = "Bellhop-Policy"
)

// DueLayout is the layout of HeaderDue: RFC 3339, UTC, always milliseconds.
const DueLayout = "2006-01-02T15:04:05.000Z"

// Channels that Bellhop itself rings on.
const (
	ChannelScheduler = "scheduler"
	ChannelManual    = "manual"
	ChannelCLI       = "cli"
	ChannelCall      = "call"
	ChannelChain     = "chain"
)

// DefaultNamespace is the namespace that is used where none is named.
const DefaultNamespace = "bellhop"

// Bounds of the names that users choose, in bytes.
const (
	MaxServiceLen   = 128
	MaxNamespaceLen = 32
)

// ErrName is what every refusal of a name, a service or a namespace wraps.
var ErrName = errors.New("invalid name")

// Namespace is the prefix of every stream, bucket and subject of one Bellhop;
// several live side by side on one NATS. The zero value is DefaultNamespace.
type Namespace string

// Check refuses a namespace that is not 1 to 32 bytes of [A-Za-z0-9_-].
func (n Namespace) Check() error {
	s := string(n.orDefault())
	if len(s) > MaxNamespaceLen || !isToken(s) {
		return fmt.Errorf("%w: namespace %.40q: use 1 to %d of A-Z a-z 0-9 _ -", ErrName, s, MaxNamespaceLen)
	}
	return nil
}

func (n Namespace) orDefault() Namespace {
	if n == "" {
		return DefaultNamespace
	}
	return n
}

// String gives the namespace itself.
func (n Namespace) String() string { return string(n.orDefault()) }

// JobsBucket is the KV bucket of the definitions, by escaped name.
func (n Namespace) JobsBucket() string { return n.String() + "-jobs" }

// StateBucket is the KV bucket of what outlives a restart and is nobody's to
// write but Bellhop's.
func (n Namespace) StateBucket() string { return n.String() + "-state" }

// TriggersStream is the trigger log.
func (n Namespace) TriggersStream() string { return n.String() + "-triggers" }

// RingsStream holds what channels, people and services have rung.
func (n Namespace) RingsStream() string { return n.String() + "-rings" }

// RunsStream holds the records of runs.
func (n Namespace) RunsStream() string { return n.String() + "-runs" }

// DeadStream holds the dead letters.
func (n Namespace) DeadStream() string { return n.String() + "-dead" }

// TriggerSubject is where the scheduler rings a service; service must be
// valid, or ">" for all of them.
func (n Namespace) TriggerSubject(service string) string {
	return n.String() + ".trigger." + service
}

// HandSubject is where the trigger log keeps its checkpoint.
func (n Namespace) HandSubject() string { return n.String() + ".hand" }

// RingSubject is where a channel rings a service. Both must be valid;
// "*" as channel stands for every channel, ">" as service for every service.
func (n Namespace) RingSubject(channel, service string) string {
	return n.String() + ".ring." + channel + "." + service
}

// RunSubject is where the records of a job's runs are kept; with an empty job
// key, those of a service that was rung without a job.
func (n Namespace) RunSubject(jobKey, service string) string {
	if jobKey == "" {
		return n.String() + ".run.=." + service
	}
	return n.String() + ".run." + jobKey
}

// ChangesStream holds the records of changes to jobs.
func (n Namespace) ChangesStream() string { return n.String() + "-changes" }

// ChangeSubject is where the changes of a job are recorded, by its key; ">"
// stands for every job.
func (n Namespace) ChangeSubject(jobKey string) string { return n.String() + ".change." + jobKey }

// DeadSubject is where a service's dead letters are kept.
func (n Namespace) DeadSubject(service string) string { return n.String() + ".dead." + service }

// CallSubject is where a service is called directly.
func (n Namespace) CallSubject(service string) string { return n.String() + ".call." + service }

// JobsSubject is where the scheduler serves one management verb.
func (n Namespace) JobsSubject(verb string) string { return n.String() + ".jobs." + verb }

// LettersSubject is where the scheduler serves one verb about dead letters. It
// is no subject of the stream that keeps them.
func (n Namespace) LettersSubject(verb string) string { return n.String() + ".letters." + verb }

// ReplySubject is where the end of a run is told to whoever rang and waits.
func (n Namespace) ReplySubject(token string) string { return n.String() + ".reply." + token }

// RunsSubject is where the scheduler serves one verb about runs.
func (n Namespace) RunsSubject(verb string) string { return n.String() + ".runs." + verb }

// ActiveSubject is where every worker answers with the runs that it has under
// way.
func (n Namespace) ActiveSubject() string { return n.String() + ".active" }

// ChannelsSubject is where every process with channels says how they fare.
func (n Namespace) ChannelsSubject() string { return n.String() + ".channels" }

// LiveSubject is where a run's log lines and progress are published as they
// come, without being stored.
func (n Namespace) LiveSubject(run string) string { return n.String() + ".live." + Escape(run) }

// PingSubject is where every running scheduler answers with its uptime.
func (n Namespace) PingSubject() string { return n.String() + ".ping" }

// CheckService refuses a service that is not dot-separated tokens of
// [A-Za-z0-9_-], at most MaxServiceLen bytes in all.
func CheckService(service string) error {
	if service == "" {
		return fmt.Errorf("%w: the service is empty", ErrName)
	}
	if len(service) > MaxServiceLen {
		return fmt.Errorf("%w: service of %d bytes: at most %d", ErrName, len(service), MaxServiceLen)
	}
	for token := range strings.SplitSeq(service, ".") {
		if !isToken(token) {
			return fmt.Errorf("%w: service %q: use dot-separated tokens of A-Z a-z 0-9 _ -", ErrName, service)
		}
	}
	return nil
}

// CheckChannel refuses a channel that is not one token of [A-Za-z0-9_-].
func CheckChannel(channel string) error {
	if len(channel) > MaxServiceLen || !isToken(channel) {
		return fmt.Errorf("%w: channel %.40q: use A-Z a-z 0-9 _ -", ErrName, channel)
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return s != ""
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

const hexDigits = "0123456789ABCDEF"

// Escape writes every byte of name outside [A-Za-z0-9_-] as =XX (upper-case
// hex), which makes of any name one token of a subject and a valid KV key:
// "My Sample" becomes "My=20Sample". Names keep their byte order only within
// equal alphabets, but a prefix of a name is escaped to a prefix of its key.
func Escape(name string) string {
	n := 0
	for i := range len(name) {
		if !plain(name[i]) {
			n++
		}
	}
	if n == 0 {
		return name
	}
	b := make([]byte, 0, len(name)+2*n)
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

// Unescape is the inverse of Escape. It refuses what Escape cannot have made,
// so that no two keys stand for one name.
func Unescape(key string) (string, error) {
	if !strings.Contains(key, "=") {
		if !isToken(key) {
			return "", fmt.Errorf("%w: key %.60q", ErrName, key)
		}
		return key, nil
	}
	b := make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case plain(c):
			b = append(b, c)
		case c == '=' && i+2 < len(key):
			hi, lo := strings.IndexByte(hexDigits, key[i+1]), strings.IndexByte(hexDigits, key[i+2])
			if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
				return "", fmt.Errorf("%w: key %.60q: bad escape at byte %d", ErrName, key, i)
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		default:
			return "", fmt.Errorf("%w: key %.60q: byte %d must be escaped", ErrName, key, i)
		}
	}
	return string(b), nil
}
