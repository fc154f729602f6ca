package scheduler

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object split into its fields, whose values stay the very
// bytes that they were. encoding/json compacts and escapes what passes through
// it; a payload, and what people wrote by hand, must not change.
type object []field

type field struct {
	name  string
	value []byte
	at    int // where value begins in what was parsed
}

// maxDepth bounds the nesting of a definition: far beyond what people write,
// far below what would cost anything.
const maxDepth = 1000

// parseObject splits data, refusing what is not one object or names a field
// twice.
func parseObject(data []byte) (object, error) { return parseInto(make(object, 0, 8), data) }

// parseInto is parseObject into o, which is empty.
func parseInto(o object, data []byte) (object, error) {
	start := skipSpace(data, 0)
	if start == len(data) || data[start] != '{' {
		return nil, invalid("", "send one JSON object", "not a JSON object")
	}
	if depth(data) > maxDepth {
		return nil, invalid("", "", "JSON nested deeper than %d levels", maxDepth)
	}
	if !utf8.Valid(data) {
		return nil, invalid("", "send binary payloads as payload_base64", "not UTF-8")
	}
	if !json.Valid(data) {
		var v json.RawMessage
		return nil, invalid("", "", "broken JSON: %v", json.Unmarshal(data, &v))
	}
	return splitObject(o, data)
}

// splitObject splits what stands in JSON that was found to be valid, into o, which is
// empty.
func splitObject(o object, data []byte) (object, error) {
	start := skipSpace(data, 0)
	if start == len(data) || data[start] != '{' {
		return nil, invalid("", "send one JSON object", "not a JSON object")
	}
	for i := start + 1; ; {
		i = skipSpace(data, i)
		switch data[i] {
		case '}':
			return o, nil
		case ',':
			i++
			continue
		}
		end := skipValue(data, i)
		name, err := text(data[i:end])
		if err != nil {
			return nil, err
		}
		if o.index(name) >= 0 {
			return nil, invalid(name, "", "named twice")
		}
		i = skipSpace(data, end) // to the colon
		i = skipSpace(data, i+1) // to the value
		end = skipValue(data, i) // past it
		o = append(o, field{name, data[i:end:end], i})
		i = end
	}
}

// splitArray gives the values of an array that stands in valid JSON.
func splitArray(data []byte) (values [][]byte, err error) {
	i := skipSpace(data, 0)
	if i == len(data) || data[i] != '[' {
		return nil, invalid("", "send a JSON array", "not a JSON array")
	}
	for i++; ; {
		i = skipSpace(data, i)
		switch data[i] {
		case ']':
			return values, nil
		case ',':
			i++
			continue
		}
		end := skipValue(data, i)
		values = append(values, data[i:end:end])
		i = end
	}
}

// depth is the deepest nesting in data, whether it is valid JSON or not.
func depth(data []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = skipString(data, i) - 1
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// skipString gives the index after the string that begins at i.
func skipString(data []byte, i int) int {
	for i++; ; {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			return len(data)
		}
		i += n + 1
		escapes := 0
		for data[i-2-escapes] == '\\' { // the string's own beginning is none
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// skipValue gives the index after the value that begins at i, in valid JSON.
func skipValue(data []byte, i int) int {
	open := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			i = skipString(data, i)
		case '{', '[':
			open++
			i++
		case '}', ']':
			if open == 0 {
				return i
			}
			open--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			if open == 0 {
				return i
			}
			i++
			continue
		default:
			for i < len(data) && !bytes.ContainsRune([]byte(`,:]} "`+"\t\r\n"), rune(data[i])) {
				i++
			}
		}
		if open == 0 {
			return i
		}
	}
	return i
}

// text decodes a JSON string.
func text(raw []byte) (string, error) {
	if len(raw) >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", err
	}
	return s, nil
}

func isNull(raw []byte) bool { return string(raw) == "null" }

func (o object) index(name string) int {
	for i := range o {
		if o[i].name == name {
			return i
		}
	}
	return -1
}

// get gives the value's bytes, nil if there is no such field.
func (o object) get(name string) []byte {
	if i := o.index(name); i >= 0 {
		return o[i].value
	}
	return nil
}

// set gives the object with one field set, as with does.
func (o object) set(name string, value []byte) object { return o.with(field{name: name, value: value}) }

// with gives the object with some fields set: each is replaced where it stands, or
// added at the end; one whose value is nil is removed. The object itself stays.
func (o object) with(fields ...field) object {
	all := append(make(object, 0, len(o)+len(fields)), o...)
	for _, f := range fields {
		switch i := all.index(f.name); {
		case f.value == nil && i >= 0:
			all = slices.Delete(all, i, i+1)
		case f.value == nil:
		case i < 0:
			all = append(all, field{name: f.name, value: f.value})
		default:
			all[i].value = f.value
		}
	}
	return all
}

// bytes writes the object as JSON, values as they are.
func (o object) bytes() []byte {
	n := 2
	for _, f := range o {
		n += len(f.name) + len(f.value) + 4
	}
	b := append(make([]byte, 0, n), '{')
	for i, f := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, f.name), ':')
		b = append(b, f.value...)
	}
	return append(b, '}')
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			q, err := json.Marshal(s)
			if err != nil { // a string always marshals
				return strconv.AppendQuote(b, s)
			}
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
