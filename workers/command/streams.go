package command

import (
	"bytes"
	"strings"
)

// output keeps the first bytes of what is written to it.
type output struct {
	most int
	kept []byte
	size int
}

func (o *output) Write(b []byte) (int, error) {
	o.size += len(b)
	o.kept = append(o.kept, b[:min(len(b), o.most-len(o.kept))]...)
	return len(b), nil
}

// Bounds of what is kept of standard error, in bytes.
const (
	maxLine = 1 << 10  // of a line; the rest of it is dropped
	maxLog  = 64 << 10 // of a run
	maxTail = 800      // of an error, of which a record keeps 1 KiB
)

// transcript is a program's standard error: lines for the log, of which the last
// ones are kept.
type transcript struct {
	log     func(line string)
	line    []byte // that has begun
	cut     bool   // the line was longer
	logged  int    // bytes
	dropped int    // bytes that were not logged
	last    []byte // of all lines, at most 2*maxTail
}

func (s *transcript) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			s.grow(b)
			return n, nil
		}
		s.grow(b[:i])
		s.end()
		b = b[i+1:]
	}
}

func (s *transcript) grow(b []byte) {
	keep := min(len(b), maxLine-len(s.line))
	s.line = append(s.line, b[:keep]...)
	if keep < len(b) {
		s.cut = true
		s.dropped += len(b) - keep
	}
}

// end ends the line.
func (s *transcript) end() {
	line := strings.TrimRight(strings.ToValidUTF8(string(s.line), "\uFFFD"), " \t\r")
	if s.cut {
		line += "…"
	}
	size := len(s.line)
	s.line, s.cut = s.line[:0], false
	if line == "" {
		return
	}
	s.last = append(append(s.last, line...), '\n')
	if over := len(s.last) - 2*maxTail; over > 0 {
		s.last = append(s.last[:0], s.last[over:]...)
	}
	if s.logged += size; s.logged > maxLog {
		s.dropped += size
		return
	}
	s.log(line)
}

// tail is the last lines: whole ones, unless the very last is too long for that.
func (s *transcript) tail() string {
	text := bytes.TrimRight(s.last, "\n")
	if over := len(text) - maxTail; over > 0 {
		if i := bytes.IndexByte(text[over-1:], '\n'); i >= 0 {
			text = text[over+i:]
		} else {
			text = text[over:]
		}
	}
	return strings.ToValidUTF8(string(text), "")
}
