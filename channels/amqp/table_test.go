package amqp

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"
)

// value draws any value that a table can hold.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		most := 14
		if depth == 0 {
			most = 12
		}
		switch rapid.IntRange(0, most).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "t")
		case 2:
			return rapid.Uint8().Draw(t, "B")
		case 3:
			return rapid.Int8().Draw(t, "b")
		case 4:
			return rapid.Int16().Draw(t, "s")
		case 5:
			return rapid.Uint16().Draw(t, "u")
		case 6:
			return rapid.Int32().Draw(t, "I")
		case 7:
			return rapid.Uint32().Draw(t, "i")
		case 8:
			return rapid.Int64().Draw(t, "l")
		case 9:
			return rapid.OneOf(rapid.Float64(), rapid.Just(math.Inf(1)), rapid.Just(math.NaN())).Draw(t, "d")
		case 10:
			return amqp091.Decimal{Scale: rapid.Uint8().Draw(t, "scale"), Value: rapid.Int32().Draw(t, "D")}
		case 11:
			return string(rapid.SliceOf(rapid.Byte()).Draw(t, "S"))
		case 12:
			return time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "T"), 0).UTC()
		case 13:
			return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "A")
		}
		return table(depth-1).Draw(t, "F")
	})
}

func table(depth int) *rapid.Generator[amqp091.Table] {
	return rapid.Custom(func(t *rapid.T) amqp091.Table {
		return rapid.MapOfN(rapid.StringN(0, 20, 100), value(depth), 0, 5).Draw(t, "table")
	})
}

var alike = cmp.Options{cmpopts.EquateNaNs()}

func TestTablePassesThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := table(2).Draw(t, "table")
		b, err := encodeTable(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeTable(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if d := cmp.Diff(want, got, alike); d != "" {
			t.Error(d)
		}
	})
	for _, v := range []any{float32(0.1), []byte{0, 255}, []byte("text")} {
		b, err := encodeTable(amqp091.Table{"v": v})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeTable(b)
		if d := cmp.Diff(amqp091.Table{"v": v}, got); d != "" || err != nil {
			t.Error(d, err)
		}
	}
}

func FuzzDecodeTable(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":{"I":7}}`, `{"a":{"A":[{"F":{"b":{"l":"1"}}},{"D":[2,3]}]}}`, `{"a":{"I":7,"l":"8"}}`, `{"a":{"x":"!"}}`, `{"a":{"I":1e99}}`, `[]`, strings.Repeat(`{"a":{"F":`, 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := decodeTable([]byte(s))
		if err != nil {
			return
		}
		if err := got.Validate(); err != nil {
			t.Fatalf("%s gives what the library refuses: %v", s, err)
		}
		b, err := encodeTable(got)
		if err != nil {
			t.Fatalf("%s gives what cannot be written: %v", s, err)
		}
		again, err := decodeTable(b)
		if d := cmp.Diff(got, again, alike); d != "" || err != nil {
			t.Fatalf("%s is read back as another: %s %v", s, d, err)
		}
	})
}

// TestMessagePassesThrough sends a message in and out again, and finds it as it
// was, but for what is not to pass.
func TestMessagePassesThrough(t *testing.T) {
	at := time.Unix(1_800_000_000, 0).UTC()
	d := amqp091.Delivery{
		ContentType: "text/csv", ContentEncoding: "gzip", Priority: 3, CorrelationId: "c", ReplyTo: "r", Expiration: "60000",
		MessageId: "m", Timestamp: at, Type: "t", UserId: "guest", AppId: "app", DeliveryMode: 2, Exchange: "e", RoutingKey: "k", Body: []byte{0, 1},
		Headers: amqp091.Table{
			"traceparent": "00-a", "n": int32(7), "big": int64(math.MaxInt64), "bytes": []byte{0, 255}, "space": " x ", "lines": "a\r\nb", "empty": "",
			"Content-Type": "not the property", "Amqp-Type": "nor this", "Status": "409", "name with space": "v", "CC": []any{"a", "b"},
			"list": []any{int32(1), "x", amqp091.Table{"y": true}}, "nothing": nil,
			"Nats-Rollup": "all", "nats-x": int32(1), "Bellhop-Run": "forged",
			"x-death": []any{amqp091.Table{"count": int64(3)}}, "x-first-death-queue": "q", "x-delivery-count": int64(1),
		},
	}
	h, err := header(&d)
	if err != nil {
		t.Fatal(err)
	}
	for name := range h {
		if foldPrefix(name, "nats-") || foldPrefix(name, "bellhop-") {
			t.Errorf("header %s passes", name)
		}
	}
	for name, want := range map[string]string{"Amqp-Message-Id": "m", "Amqp-User-Id": "guest", "Amqp-Exchange": "e", "Amqp-Routing-Key": "k", "Content-Type": "text/csv", "traceparent": "00-a"} {
		if got := first(h, name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	p, err := publishing(&workers.Trigger{Run: "run", Channel: "amqp", Job: "j", Due: at, Payload: d.Body, Header: h})
	if err != nil {
		t.Fatal(err)
	}
	want := amqp091.Publishing{
		ContentType: "text/csv", ContentEncoding: "gzip", Priority: 3, CorrelationId: "c", ReplyTo: "r", Expiration: "60000",
		MessageId: "run", Timestamp: at, Type: "t", AppId: "app", DeliveryMode: 2, Body: []byte{0, 1}, Headers: amqp091.Table{
			"Bellhop-Channel": "amqp", "Bellhop-Job": "j", "Bellhop-Due": at.Format(workers.DueLayout),
		},
	}
	for name, v := range d.Headers {
		if !ours(name) && name != "x-death" && name != "x-first-death-queue" && name != "x-delivery-count" {
			want.Headers[name] = v
		}
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
}

func TestHeaderRefuses(t *testing.T) {
	for _, d := range []amqp091.Delivery{{Type: "a\nb"}, {ContentType: string([]byte{0xff})}, {AppId: " x"}} {
		if h, err := header(&d); err == nil {
			t.Errorf("%+v gives %v", d, h)
		}
	}
}

func TestPublishingRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, v := range map[string]string{
		"Amqp-Type": long, "Amqp-Priority": "256", "Amqp-Timestamp": "yesterday", "Amqp-Expiration": "soon", "Amqp-Headers": "{",
		"Content-Type": long, long: "x", "BCC": "",
	} {
		trigger := &workers.Trigger{Run: "r", Header: map[string][]string{name: {v}}}
		if name == "BCC" { // a list of texts is what a broker takes
			trigger.Header = map[string][]string{"Amqp-Headers": {`{"BCC":{"I":7}}`}}
		}
		if p, err := publishing(trigger); err == nil {
			t.Errorf("%.20s: %.20s gives %+v", name, v, p)
		}
	}
	inner := `{"a":{"A":[{"F":{"` + long + `":{"I":7}}}]}}`
	if _, err := publishing(&workers.Trigger{Header: map[string][]string{"Amqp-Headers": {inner}}}); err == nil {
		t.Error("a name that the library cannot write passes")
	}
	p, err := publishing(&workers.Trigger{Run: strings.Repeat("r", 300), Header: map[string][]string{"CC": {"one"}, "A": {"1", "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := amqp091.Table{"CC": []any{"one"}, "A": []any{"1", "2"}, "Bellhop-Run": strings.Repeat("r", 300)}
	if d := cmp.Diff(want, p.Headers); d != "" || len(p.MessageId) > 255 {
		t.Error(d, p.MessageId)
	}
}
