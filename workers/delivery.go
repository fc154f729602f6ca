package workers

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// delivery is what the server says of a message that it delivers.
type delivery struct {
	sequence uint64 // in its stream
	count    uint64 // of its deliveries, this one included
	stored   time.Time
}

// deliveries reads what a consumer's messages say of themselves in their reply
// subjects. All of these begin alike: what the client library takes to pieces for
// each message is looked at once, and then only the numbers are read. It is used
// by one goroutine; the zero value is ready.
type deliveries struct{ prefix string }

func (d *deliveries) read(m jetstream.Msg) (delivery, error) {
	if numbers, ok := strings.CutPrefix(m.Reply(), d.prefix); ok && d.prefix != "" {
		if got, ok := parseDelivery(numbers); ok {
			return got, nil
		}
	}
	meta, err := m.Metadata()
	if err != nil {
		return delivery{}, err
	}
	numbers := fmt.Sprintf(".%d.%d.%d.%d.", meta.NumDelivered, meta.Sequence.Stream, meta.Sequence.Consumer, meta.Timestamp.UnixNano())
	if at := strings.LastIndex(m.Reply(), numbers); at > 0 {
		d.prefix = strings.Clone(m.Reply()[:at+1])
	}
	return delivery{meta.Sequence.Stream, meta.NumDelivered, meta.Timestamp}, nil
}

// parseDelivery reads the end of a reply subject: how often, the sequence in the
// stream, that in the consumer, when it was stored, and more that is not needed.
func parseDelivery(s string) (delivery, bool) {
	count, s, ok1 := cutNumber(s)
	sequence, s, ok2 := cutNumber(s)
	_, s, ok3 := cutNumber(s)
	stored, _, ok4 := cutNumber(s)
	return delivery{sequence, count, time.Unix(0, int64(stored))}, ok1 && ok2 && ok3 && ok4
}

// cutNumber reads a number up to the next dot.
func cutNumber(s string) (n uint64, rest string, ok bool) {
	for i := range len(s) {
		c := s[i]
		if c == '.' {
			return n, s[i+1:], i > 0 && i <= maxDigits
		}
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + uint64(c-'0')
	}
	return 0, "", false
}

// maxDigits is how many digits a number has at most that fits.
const maxDigits = 19
