package amqp

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// field is a value of an AMQP table in JSON, with its type as the protocol's
// letter: {"I":7}, {"S":"text"}, {"F":{"name":{…}}}, {"A":[{…}]}. What JSON has no
// form for is written as text: numbers of 64 bits, floating point, times (RFC 3339)
// as such, bytes and text that is no UTF-8 in base64 ("x", "S64").
type field map[string]json.RawMessage

// maxDepth bounds tables in tables.
const maxDepth = 16

var errTable = errors.New("not a table as " + headerTable + " has it")

// encodeTable writes a table; what AMQP cannot say is not in one.
func encodeTable(t amqp091.Table) ([]byte, error) {
	fields := make(map[string]field, len(t))
	for name, v := range t {
		f, err := encodeField(v)
		if err != nil {
			return nil, err
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("header %q: its name is no UTF-8", name)
		}
		fields[name] = f
	}
	return json.Marshal(fields)
}

func encodeField(v any) (field, error) {
	var letter string
	plain := v
	switch v := v.(type) {
	case nil:
		letter = "V"
	case bool:
		letter = "t"
	case byte:
		letter = "B"
	case int8:
		letter = "b"
	case int16:
		letter = "s"
	case uint16:
		letter = "u"
	case int32:
		letter = "I"
	case uint32:
		letter = "i"
	case int64:
		letter, plain = "l", strconv.FormatInt(v, 10)
	case float32:
		letter, plain = "f", strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		letter, plain = "d", strconv.FormatFloat(v, 'g', -1, 64)
	case amqp091.Decimal:
		letter, plain = "D", []int64{int64(v.Scale), int64(v.Value)}
	case string:
		letter = "S"
		if !utf8.ValidString(v) {
			letter, plain = "S64", []byte(v)
		}
	case []byte:
		letter = "x"
	case time.Time:
		letter, plain = "T", v.Unix()
	case amqp091.Table:
		b, err := encodeTable(v)
		return field{"F": b}, err
	case []any:
		all := make([]field, len(v))
		for i := range v {
			var err error
			if all[i], err = encodeField(v[i]); err != nil {
				return nil, err
			}
		}
		letter, plain = "A", all
	default:
		return nil, fmt.Errorf("a header of type %T", v)
	}
	b, err := json.Marshal(plain)
	return field{letter: b}, err
}

// decodeTable reads what encodeTable wrote, or somebody else did in its manner.
func decodeTable(text []byte) (amqp091.Table, error) { return decodeTableIn(text, 0) }

func decodeTableIn(text []byte, depth int) (amqp091.Table, error) {
	var fields map[string]field
	if depth > maxDepth || json.Unmarshal(text, &fields) != nil {
		return nil, errTable
	}
	t := make(amqp091.Table, len(fields))
	for name, f := range fields {
		v, err := f.decode(depth)
		if err != nil {
			return nil, err
		}
		t[name] = v
	}
	return t, nil
}

func (f field) decode(depth int) (any, error) {
	if len(f) != 1 || depth > maxDepth {
		return nil, errTable
	}
	for letter, text := range f {
		switch letter {
		case "V":
			return nil, nil
		case "t":
			return read[bool](text)
		case "B":
			return read[byte](text)
		case "b":
			return read[int8](text)
		case "s":
			return read[int16](text)
		case "u":
			return read[uint16](text)
		case "I":
			return read[int32](text)
		case "i":
			return read[uint32](text)
		case "l", "f", "d":
			return number(letter, text)
		case "D":
			return decimal(text)
		case "S":
			return read[string](text)
		case "S64":
			b, err := read[[]byte](text)
			return string(b), err
		case "x":
			return read[[]byte](text)
		case "T":
			n, err := read[int64](text)
			return time.Unix(n, 0).UTC(), err
		case "F":
			return decodeTableIn(text, depth+1)
		case "A":
			return array(text, depth+1)
		}
	}
	return nil, errTable
}

func read[T any](text []byte) (v T, err error) {
	if json.Unmarshal(text, &v) != nil {
		return v, errTable
	}
	return v, nil
}

func number(letter string, text []byte) (v any, err error) {
	s, err := read[string](text)
	if err != nil {
		return nil, err
	}
	switch letter {
	case "l":
		v, err = strconv.ParseInt(s, 10, 64)
	case "f":
		var f float64
		f, err = strconv.ParseFloat(s, 32)
		v = float32(f)
	default:
		v, err = strconv.ParseFloat(s, 64)
	}
	if err != nil {
		return nil, errTable
	}
	return v, nil
}

func decimal(text []byte) (any, error) {
	d, err := read[[2]int64](text)
	if err != nil || d[0] < 0 || d[0] > math.MaxUint8 || d[1] < math.MinInt32 || d[1] > math.MaxInt32 {
		return nil, errTable
	}
	return amqp091.Decimal{Scale: uint8(d[0]), Value: int32(d[1])}, nil
}

func array(text []byte, depth int) (any, error) {
	fields, err := read[[]field](text)
	if err != nil {
		return nil, err
	}
	all := make([]any, len(fields))
	for i, f := range fields {
		if all[i], err = f.decode(depth); err != nil {
			return nil, err
		}
	}
	return all, nil
}
