package workers_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type invoice struct {
	Customer string            `json:"customer"`
	Number   int64             `json:"number"`
	Due      time.Time         `json:"due"`
	Lines    []line            `json:"lines"`
	Notes    map[string]int    `json:"notes"`
	Any      any               `json:"any"`
	Rest     map[string]string `json:"-"`
}

type line struct {
	Amount float64 `json:"amount"`
}

func TestDecode(t *testing.T) {
	long, _ := new(big.Int).SetString("12345678901234567890123", 10)
	for _, tt := range []struct {
		payload string
		want    invoice
	}{
		{`{}`, invoice{}},
		{" \n{\"customer\": \"Zoë\", \"unknown\": [1]}\r\n\t", invoice{Customer: "Zoë"}},
		{`{"number": 9223372036854775807}`, invoice{Number: 1<<63 - 1}},
		{`{"any": {"id": 12345678901234567890123}}`, invoice{Any: map[string]any{"id": json.Number(long.String())}}},
		{`{"customer": "first", "customer": "last"}`, invoice{Customer: "last"}}, // as encoding/json
		{`null`, invoice{}},
	} {
		var got invoice
		trigger := workers.Trigger{Payload: []byte(tt.payload)}
		if err := trigger.Decode(&got); err != nil {
			t.Errorf("%s: %v", tt.payload, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.payload, d)
		}
	}
}

func TestDecodeMistakes(t *testing.T) {
	for _, tt := range []struct{ payload, want string }{
		{"", "decode payload of 0 bytes: it is empty where JSON is expected"},
		{" \n ", "decode payload of 3 bytes: it is empty where JSON is expected"},
		{`{"customer": "secret`, "the JSON has no end"},
		{`secret`, "malformed JSON at byte 1"},
		{"\xef\xbb\xbf{}", "malformed JSON at byte 1"},
		{`{"customer": secret}`, "malformed JSON at byte 14"},
		{`{"number": "secret"}`, "at byte 19: field number: string where int64 is expected"},
		{`{"number": 5.5}`, "at byte 14: field number: number where int64 is expected"},
		{`{"number": 123456789012345678901234567890}`, "field number: number where int64 is expected"},
		{`{"lines": [{"amount": 1}, {"amount": 1e999}]}`, "field lines.amount: number where float64 is expected"},
		{`{"notes": {"secret": "secret"}}`, "field notes: string where int is expected"},
		{`{"due": "secret"}`, "a value is refused by its own type (*time.ParseError)"},
		{`[]`, "array where workers_test.invoice is expected"},
		{`{} secret`, "decode payload of 9 bytes: something follows the JSON value that ends at byte 2"},
		{`{}{}`, "something follows the JSON value that ends at byte 2"},
		{`{}]`, "something follows the JSON value that ends at byte 2"},
	} {
		trigger := workers.Trigger{Payload: []byte(tt.payload), Header: map[string][]string{"Content-Type": {"text/csv", "application/json"}}}
		err := trigger.Decode(new(invoice))
		if err == nil || !workers.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.payload, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: shows the payload: %v", tt.payload, err)
		}
	}
	trigger := workers.Trigger{Payload: []byte("{}")}
	for _, v := range []any{nil, invoice{}, (*invoice)(nil)} {
		if err := trigger.Decode(v); err == nil || !workers.IsPermanent(err) || !strings.Contains(err.Error(), "give Decode a pointer") {
			t.Errorf("into %T: %v", v, err)
		}
	}
}

// Whatever is in a payload, none of it is in the error.
func TestDecodeTellsNothing(t *testing.T) {
	const secret = "5417123498765432"
	pieces := []string{secret, `"` + secret + `"`, `{"customer":`, `{"number":`, `{"due":`, `{"any":`, `{"notes":{"` + secret + `":`, `[`, `]`, `}`, `,`, ` `, `"`, `\`, `-`, `e` + secret, "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		payload := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8).Draw(t, "payload"), "")
		trigger := workers.Trigger{Payload: []byte(payload)}
		for _, v := range []any{new(invoice), new(string), new(int8), new([]invoice), new(any), new(time.Duration)} {
			if err := trigger.Decode(v); err != nil && (strings.Contains(err.Error(), secret[:4]) || !workers.IsPermanent(err)) {
				t.Fatalf("%q into %T: %v", payload, v, err)
			}
		}
	})
}
