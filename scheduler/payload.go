package scheduler

import (
	"bytes"
	"encoding/base64"
)

// payload says where in a stored definition its payload stands, so that a
// million of them are kept once.
type payload struct {
	from, to uint32
	kind     byte
}

// The kinds of payload.
const (
	payloadNone   = iota
	payloadRaw    // JSON, delivered as its bytes; or text without escapes
	payloadText   // a JSON string
	payloadBase64 // base64 in a JSON string
)

// locate finds the payload in a definition that was parsed into o.
func locate(o object) payload {
	if i := o.index("payload_base64"); i >= 0 && !isNull(o[i].value) {
		return payload{uint32(o[i].at), uint32(o[i].at + len(o[i].value)), payloadBase64}
	}
	i := o.index("payload")
	if i < 0 {
		return payload{}
	}
	v := o[i].value
	p := payload{uint32(o[i].at), uint32(o[i].at + len(v)), payloadRaw}
	switch {
	case v[0] != '"':
	case bytes.IndexByte(v, '\\') >= 0:
		p.kind = payloadText
	default:
		p.from, p.to = p.from+1, p.to-1
	}
	return p
}

// bytes gives the payload as it is delivered. The definition was checked when
// it was read.
func (p payload) bytes(def []byte) []byte {
	raw := def[p.from:p.to]
	switch p.kind {
	case payloadText:
		s, err := text(raw)
		if err != nil {
			return raw
		}
		return []byte(s)
	case payloadBase64:
		s, err := text(raw)
		if err != nil {
			return raw
		}
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return raw
		}
		return b
	}
	return raw
}
