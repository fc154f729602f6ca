package workers

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

// replied is a message of which only the reply subject is looked at, and counts
// how often the client library had to be asked.
type replied struct {
	jetstream.Msg
	reply string
	meta  *jetstream.MsgMetadata
	asked int
}

func (r *replied) Reply() string { return r.reply }

func (r *replied) Metadata() (*jetstream.MsgMetadata, error) {
	r.asked++
	if r.meta == nil {
		return nil, nats.ErrNotJSMessage
	}
	return r.meta, nil
}

func TestDeliveries(t *testing.T) {
	stored := time.Unix(0, 1_796_000_000_123_456_789)
	meta := func(count, sequence, consumer uint64) *jetstream.MsgMetadata {
		return &jetstream.MsgMetadata{NumDelivered: count, Sequence: jetstream.SequencePair{Stream: sequence, Consumer: consumer}, Timestamp: stored}
	}
	const v1, v2 = "$JS.ACK.bellhop-triggers.a.", "$JS.ACK._.hash.bellhop-triggers.a."
	var d deliveries
	for _, tt := range []struct {
		name  string
		m     replied
		want  delivery
		asked int
		fails bool
	}{
		{"the first", replied{reply: v1 + "1.7.5.1796000000123456789.0", meta: meta(1, 7, 5)}, delivery{7, 1, stored}, 1, false},
		{"the next", replied{reply: v1 + "2.18446744.6.1796000000123456789.0"}, delivery{18_446_744, 2, stored}, 0, false},
		{"without an end", replied{reply: v1 + "2.8.6.1796000000123456789", meta: meta(2, 8, 6)}, delivery{8, 2, stored}, 1, false},
		{"no number", replied{reply: v1 + "2.x.6.1796000000123456789.0"}, delivery{}, 1, true},
		{"an empty one", replied{reply: v1 + "2..6.1796000000123456789.0"}, delivery{}, 1, true},
		{"too large a one", replied{reply: v1 + "2.99999999999999999999.6.1796000000123456789.0"}, delivery{}, 1, true},
		{"of another form", replied{reply: v2 + "1.1.1.1796000000123456789.0.token", meta: meta(1, 1, 1)}, delivery{1, 1, stored}, 1, false},
		{"the next of that", replied{reply: v2 + "1.2.2.1796000000123456789.0.token"}, delivery{2, 1, stored}, 0, false},
		{"nothing", replied{}, delivery{}, 1, true},
	} {
		got, err := d.read(&tt.m)
		if got != tt.want || tt.m.asked != tt.asked || (err != nil) != tt.fails {
			t.Errorf("%s: %+v, %v, asked %d times; want %+v, %d times", tt.name, got, err, tt.m.asked, tt.want, tt.asked)
		}
	}
}

// Whatever the numbers are, they are never taken for others.
func TestDeliveriesLearn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Uint64Range(0, 12), rapid.Uint64Range(0, 1<<62))
		var d deliveries
		for range 3 {
			want := delivery{number.Draw(t, "sequence"), number.Draw(t, "count"), time.Unix(0, int64(number.Draw(t, "stored")))}
			consumer := number.Draw(t, "of the consumer")
			m := &replied{
				reply: "$JS.ACK.1.2." + text(want.count) + text(want.sequence) + text(consumer) + text(uint64(want.stored.UnixNano())) + "3",
				meta:  &jetstream.MsgMetadata{NumDelivered: want.count, Sequence: jetstream.SequencePair{Stream: want.sequence, Consumer: consumer}, Timestamp: want.stored},
			}
			if got, err := d.read(m); err != nil || got != want {
				t.Fatalf("%s: %+v, %v, want %+v", m.reply, got, err, want)
			}
		}
	})
}

func text(n uint64) string { return place("", n)[1:] + "." }
