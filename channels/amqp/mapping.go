package amqp

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The headers of a ring that stand for what a message has beside its table.
const (
	headerContentType     = "Content-Type"
	headerContentEncoding = "Content-Encoding"
	headerPrefix          = "Amqp-"
	headerExchange        = headerPrefix + "Exchange"
	headerRoutingKey      = headerPrefix + "Routing-Key"
	headerPriority        = headerPrefix + "Priority"
	headerCorrelationID   = headerPrefix + "Correlation-Id"
	headerReplyTo         = headerPrefix + "Reply-To"
	headerExpiration      = headerPrefix + "Expiration"
	headerMessageID       = headerPrefix + "Message-Id"
	headerTimestamp       = headerPrefix + "Timestamp"
	headerType            = headerPrefix + "Type"
	headerUserID          = headerPrefix + "User-Id"
	headerAppID           = headerPrefix + "App-Id"
	headerMode            = headerPrefix + "Delivery-Mode"
	// headerTable holds, in JSON, what of the table no other header can say.
	headerTable = headerPrefix + "Headers"
)

// texts are the properties that are text, and their headers.
var texts = []struct {
	name string
	in   func(d *amqp091.Delivery) *string
	out  func(p *amqp091.Publishing) *string // nil: not set on the way out
}{
	{headerContentType, func(d *amqp091.Delivery) *string { return &d.ContentType }, func(p *amqp091.Publishing) *string { return &p.ContentType }},
	{headerContentEncoding, func(d *amqp091.Delivery) *string { return &d.ContentEncoding }, func(p *amqp091.Publishing) *string { return &p.ContentEncoding }},
	{headerCorrelationID, func(d *amqp091.Delivery) *string { return &d.CorrelationId }, func(p *amqp091.Publishing) *string { return &p.CorrelationId }},
	{headerReplyTo, func(d *amqp091.Delivery) *string { return &d.ReplyTo }, func(p *amqp091.Publishing) *string { return &p.ReplyTo }},
	{headerExpiration, func(d *amqp091.Delivery) *string { return &d.Expiration }, func(p *amqp091.Publishing) *string { return &p.Expiration }},
	{headerMessageID, func(d *amqp091.Delivery) *string { return &d.MessageId }, nil},
	{headerType, func(d *amqp091.Delivery) *string { return &d.Type }, func(p *amqp091.Publishing) *string { return &p.Type }},
	{headerUserID, func(d *amqp091.Delivery) *string { return &d.UserId }, nil},
	{headerAppID, func(d *amqp091.Delivery) *string { return &d.AppId }, func(p *amqp091.Publishing) *string { return &p.AppId }},
	{headerExchange, func(d *amqp091.Delivery) *string { return &d.Exchange }, nil},
	{headerRoutingKey, func(d *amqp091.Delivery) *string { return &d.RoutingKey }, nil},
}

// header makes a ring's header of a delivery.
func header(d *amqp091.Delivery) (nats.Header, error) {
	h := make(nats.Header, 4)
	rest := amqp091.Table{}
	for name, v := range d.Headers {
		if ours(name) {
			continue
		}
		if s, ok := v.(string); ok && plainName(name) && plainValue(s) {
			h[name] = []string{s}
			continue
		}
		rest[name] = v
	}
	for _, p := range texts {
		v := *p.in(d)
		if v == "" {
			continue
		}
		if !plainValue(v) {
			return nil, fmt.Errorf("%w: the property for %s is no line of printable text", workers.ErrRefused, p.name)
		}
		h[p.name] = []string{v}
	}
	if d.Priority > 0 {
		h[headerPriority] = []string{strconv.Itoa(int(d.Priority))}
	}
	if d.DeliveryMode != 0 && d.DeliveryMode != amqp091.Persistent {
		h[headerMode] = []string{strconv.Itoa(int(d.DeliveryMode))}
	}
	if !d.Timestamp.IsZero() {
		h[headerTimestamp] = []string{d.Timestamp.UTC().Format(time.RFC3339)}
	}
	if len(rest) > 0 {
		b, err := encodeTable(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", workers.ErrRefused, err)
		}
		h[headerTable] = []string{string(b)}
	}
	return h, nil
}

// ours says which names in a table never pass: those with which servers and
// Bellhop are told what to do.
func ours(name string) bool { return foldPrefix(name, "Nats-") || foldPrefix(name, "Bellhop-") }

// plainName says whether a name in a table may be a header's as it is, with no
// other meaning.
func plainName(name string) bool {
	if name == "" || strings.EqualFold(name, "Status") || strings.EqualFold(name, "Description") ||
		strings.EqualFold(name, headerContentType) || strings.EqualFold(name, headerContentEncoding) || foldPrefix(name, headerPrefix) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return true
}

// plainValue says whether a text survives as a header's value: one line, with no
// space at its ends.
func plainValue(s string) bool {
	return s != "" && strings.TrimSpace(s) == s && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func foldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// maxShort bounds every short text of the protocol, in bytes. The library ends
// the connection over a longer one.
const maxShort = 255

// publishing makes a message of a trigger. An error is the trigger's fault.
func publishing(t *workers.Trigger) (amqp091.Publishing, error) {
	p := amqp091.Publishing{
		DeliveryMode: amqp091.Persistent,
		MessageId:    messageID(t.Run),
		Body:         t.Payload,
		Headers:      amqp091.Table{},
	}
	if s := first(t.Header, headerTable); s != "" {
		table, err := decodeTable([]byte(s))
		if err != nil {
			return p, fmt.Errorf("header %s: %w", headerTable, err)
		}
		maps.Copy(p.Headers, table)
	}
	for name, values := range t.Header {
		if foldPrefix(name, headerPrefix) || name == headerContentType || name == headerContentEncoding || len(values) == 0 {
			continue
		}
		p.Headers[name] = texted(values)
	}
	for _, m := range texts {
		if v := first(t.Header, m.name); v != "" && m.out != nil {
			if len(v) > maxShort {
				return p, fmt.Errorf("header %s has %d bytes, at most %d can be sent", m.name, len(v), maxShort)
			}
			*m.out(&p) = v
		}
	}
	if err := numbers(t.Header, &p); err != nil {
		return p, err
	}
	told(t, p.Headers)
	return p, cleanTable(p.Headers)
}

// numbers reads the properties that are no text.
func numbers(h nats.Header, p *amqp091.Publishing) error {
	if v := first(h, headerPriority); v != "" {
		n, err := strconv.ParseUint(v, 10, 8)
		if err != nil {
			return fmt.Errorf("header %s: %q is not a number from 0 to 255", headerPriority, v)
		}
		p.Priority = uint8(n)
	}
	if v := first(h, headerTimestamp); v != "" {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return fmt.Errorf("header %s: %q is not a time in RFC 3339", headerTimestamp, v)
		}
		p.Timestamp = at.UTC()
	}
	if p.Expiration != "" { // a broker closes the channel over what is no number
		if n, err := strconv.ParseUint(p.Expiration, 10, 64); err != nil || n > math.MaxUint32 {
			return fmt.Errorf("header %s: %q is not a number of milliseconds", headerExpiration, p.Expiration)
		}
	}
	return nil
}

func first(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// texted is one text, or a list of several.
func texted(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}

// told adds what the trigger says of itself.
func told(t *workers.Trigger, table amqp091.Table) {
	for _, h := range [...]struct{ name, v string }{
		{workers.HeaderJob, t.Job}, {workers.HeaderChannel, t.Channel}, {workers.HeaderParent, t.Parent},
	} {
		if h.v != "" {
			table[h.name] = h.v
		}
	}
	if !t.Due.IsZero() {
		table[workers.HeaderDue] = t.Due.Format(workers.DueLayout)
	}
	if len(t.Run) > maxShort {
		table[workers.HeaderRun] = t.Run
	}
}

// messageID is the run's id, in the form that a message id may have.
func messageID(run string) string {
	if len(run) <= maxShort {
		return run
	}
	return channels.Bound(run)
}

// cleanTable leaves out what only a broker may say (its own record of how a
// message has died would make it drop the message as a circle), and refuses or
// mends what the broker would close the channel over.
func cleanTable(t amqp091.Table) error {
	for name, v := range t {
		switch {
		case foldPrefix(name, "x-") && brokers(name), foldPrefix(name, "Nats-"):
			delete(t, name)
		case len(name) > maxShort:
			return fmt.Errorf("a header's name has %d bytes, at most %d can be sent", len(name), maxShort)
		case name == "CC" || name == "BCC": // more routing keys: a list of texts
			if s, ok := v.(string); ok {
				t[name] = []any{s}
			} else if !textList(v) {
				return fmt.Errorf("header %s is no list of texts", name)
			}
		}
	}
	return cleanNames(t)
}

// brokers says which names are a broker's record.
func brokers(name string) bool {
	return strings.EqualFold(name, "x-death") || strings.EqualFold(name, "x-delivery-count") ||
		foldPrefix(name, "x-first-death-") || foldPrefix(name, "x-last-death-")
}

func textList(v any) bool {
	all, ok := v.([]any)
	for _, one := range all {
		if _, text := one.(string); !text {
			return false
		}
	}
	return ok
}

// cleanNames refuses names in inner tables that the library cannot write.
func cleanNames(v any) error {
	switch v := v.(type) {
	case amqp091.Table:
		for name, inner := range v {
			if len(name) > maxShort {
				return fmt.Errorf("a header's name has %d bytes, at most %d can be sent", len(name), maxShort)
			}
			if err := cleanNames(inner); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := cleanNames(inner); err != nil {
				return err
			}
		}
	}
	return nil
}
