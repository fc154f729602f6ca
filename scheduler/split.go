package scheduler

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// split is a definition taken apart: the text of its kind, and its own values.
type split struct {
	text      []byte
	own       []byte // each with its length in front, as a uvarint
	marks     []string
	payload   int
	plan      *Plan // of a one-time schedule
	anchor    int64 // 0 if not among the own values, here and below
	activated int64
	misnamed  bool // the name belongs under another key, or is none
	unlike    bool // the name is not written as ours are: what has the same text may be misnamed

	recent [recentKinds]*kind // those that were met last
	name   []byte             // as it is written
}

// recentKinds is how many kinds a definition is compared with before it is parsed.
const recentKinds = 4

// begin makes ready for the definition of the job called name.
func (s *split) begin(name string) {
	*s = split{text: s.text[:0], own: s.own[:0], marks: s.marks[:0], payload: -1, recent: s.recent, name: appendText(s.name[:0], name)}
}

// met notes that the definition was of the kind.
func (s *split) met(k *kind) {
	if s.unlike {
		return
	}
	i := slices.Index(s.recent[:], k)
	if i < 0 {
		i = len(s.recent) - 1
	}
	copy(s.recent[1:], s.recent[:i])
	s.recent[0] = k
}

// take takes the definition of the job called name apart. An own value that would
// not be accepted, or that could not be written again as it was, stays in the text.
func (s *split) take(name string, data []byte, o object) {
	s.begin(name)
	stamps := o.index("reason") < 0 || string(o.get("active")) == "false" // else it begins anew, and they do not count
	base64 := o.get("payload_base64")
	both := o.index("payload") >= 0 && base64 != nil && !isNull(base64) // which is refused
	from, owns := 0, 0
	for _, f := range o {
		mark := byte(0)
		switch f.name {
		case "name":
			if bytes.Equal(f.value, s.name) {
				mark = markName
			} else if v, err := text(f.value); !isNull(f.value) && (err != nil || v != "") {
				s.misnamed, s.unlike = err != nil || v != name, true
			}
		case "anchor":
			if at := canonical(f.value); stamps && at > 0 {
				s.anchor, mark = at, markAnchor
			}
		case "activated":
			if at := canonical(f.value); stamps && at > 0 {
				s.activated, mark = at, markActivated
			}
		case "schedule":
			if s.plan = once(f.value); s.plan != nil {
				mark = markOwn
			}
		case "payload", "payload_base64", "description", "labels":
			if !both && ownable(f) {
				mark = markOwn
			}
		}
		if mark == 0 {
			continue
		}
		s.text = append(append(s.text, data[from:f.at]...), 0, mark)
		s.marks = append(s.marks, f.name)
		from = f.at + len(f.value)
		if mark != markOwn {
			continue
		}
		if f.name == "payload" || f.name == "payload_base64" {
			s.payload = owns
		}
		owns++
		s.keep(f.value)
	}
	s.text = append(s.text, data[from:]...)
}

func (s *split) keep(v []byte) {
	s.own = append(binary.AppendUvarint(s.own, uint64(len(v))), v...)
}

// ownable tells whether the value of a field that is for the service or for people
// would be accepted.
func ownable(f field) bool {
	if f.name == "payload" {
		return true
	}
	j := new(Job)
	return !isNull(f.value) && j.readField(f, false) == nil && j.checkNotes() == nil
}

// alike takes the definition of the job called name apart as take does, if it is the
// kind's text with own values at the marks: then the text was found to be valid
// before, and only these need be. Most definitions of a million are read so, in a
// quarter of the time.
func (s *split) alike(k *kind, name string, data []byte) bool {
	s.begin(name)
	rest := k.text
	for _, name := range k.marks {
		i := strings.IndexByte(rest, 0)
		if len(data) < i || string(data[:i]) != rest[:i] {
			return false
		}
		mark := rest[i+1]
		data, rest = data[i:], rest[i+2:]
		n := s.value(name, mark, data)
		if n == 0 {
			return false
		}
		data = data[n:]
	}
	return string(data) == rest
}

// value takes the own value of a field that data begins with, and gives its length; 0
// if it would not be one.
func (s *split) value(name string, mark byte, data []byte) int {
	switch mark {
	case markName:
		if bytes.HasPrefix(data, s.name) {
			return len(s.name)
		}
	case markAnchor, markActivated:
		n := min(len(data), len(canonicalForm))
		at := canonical(data[:n])
		if at <= 0 {
			return 0
		}
		if mark == markAnchor {
			s.anchor = at
		} else {
			s.activated = at
		}
		return n
	case markOwn:
		v := standalone(data)
		if v == nil {
			return 0
		}
		if name == "schedule" {
			if s.plan = once(v); s.plan == nil {
				return 0
			}
		} else if !ownable(field{name: name, value: v}) {
			return 0
		}
		s.keep(v)
		return len(v)
	}
	return 0
}

// standalone gives the JSON value that data begins with, nil if that is not valid in
// a definition.
func standalone(data []byte) []byte {
	if n := simpleString(data); n > 0 {
		return data[:n]
	}
	n := skipValue(data, 0)
	if v := data[:n:n]; n > 0 && depth(v) < maxDepth && utf8.Valid(v) && json.Valid(v) {
		return v
	}
	return nil
}

// simpleString gives the length of the JSON string that data begins with, 0 if there is
// none or one with escapes.
func simpleString(data []byte) int {
	if len(data) == 0 || data[0] != '"' {
		return 0
	}
	n := bytes.IndexByte(data[1:], '"')
	if n < 0 {
		return 0
	}
	ascii := true
	for _, c := range data[1 : n+1] {
		if c < ' ' || c == '\\' {
			return 0
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(data[1:n+1]) {
		return 0
	}
	return n + 2
}

// canonicalForm is how the scheduler writes a time.
const canonicalForm = `"0000-00-00T00:00:00.000Z"`

// canonical gives the milliseconds of a time that is written as the scheduler
// writes it; 0 for any other.
func canonical(raw []byte) int64 {
	const form = canonicalForm
	if len(raw) != len(form) {
		return 0
	}
	var n [7]int // year to milliseconds
	part := 0
	for i, c := range raw {
		switch {
		case form[i] == '0' && '0' <= c && c <= '9':
			n[part] = 10*n[part] + int(c-'0')
		case form[i] == '0' || form[i] != c:
			return 0
		case i > 0 && part < len(n)-1:
			part++
		}
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*1e6, time.UTC)
	if t.Day() != n[2] || int(t.Month()) != n[1] || t.Hour() != n[3] || t.Minute() != n[4] || t.Second() != n[5] {
		return 0 // there is no such time
	}
	return t.UnixMilli()
}

// once compiles a one-time schedule, or gives nil.
func once(raw []byte) *Plan {
	if !bytes.HasPrefix(raw, []byte(`{"at":`)) {
		return nil
	}
	s, err := decodeSchedule(raw, false)
	if err != nil {
		return nil
	}
	p, err := s.Compile(0)
	if err != nil || !p.Once() {
		return nil
	}
	return &p
}
