package scheduler

import (
	"encoding/base64"
	"strings"
)

// payload appends the job's payload as it is delivered: a JSON string as its text,
// base64 as its bytes, any other JSON as it is. The definition was checked when it
// was read.
func (j *job) payload(to []byte) []byte {
	if j.kind.payload < 0 {
		return to
	}
	v, rest := value(j.own())
	for range j.kind.payload {
		v, rest = value(rest)
	}
	if v[0] != '"' {
		return append(to, v...)
	}
	if !j.kind.binary && strings.IndexByte(v, '\\') < 0 {
		return append(to, v[1:len(v)-1]...)
	}
	s, err := text([]byte(v))
	if err != nil {
		return append(to, v...)
	}
	if !j.kind.binary {
		return append(to, s...)
	}
	b, err := base64.StdEncoding.AppendDecode(to, []byte(s))
	if err != nil {
		return append(to, v...)
	}
	return b
}
