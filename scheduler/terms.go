package scheduler

import (
	"context"
	"strconv"
	"strings"
	"unicode"

	"github.com/nats-io/nats.go"
)

// Terms go with a change: who asks for it, and on what condition. They travel
// in the headers of the request.
type Terms struct {
	// By is who asks: a text of at most 128 bytes for people, which nobody
	// checks. What a server over it has checked, such as the name of a token, it
	// puts here.
	By string
	// Via is the way in: "cli", "http", "ui"; empty means "nats".
	Via string
	// Revision is what the job must be at, else the change is refused with 409;
	// 0 means any.
	Revision uint64
}

// The headers of a request that hold its Terms.
const (
	HeaderBy       = "Bellhop-By"
	HeaderVia      = "Bellhop-Via"
	HeaderRevision = "Bellhop-Revision"
)

// maxBy bounds By and Via, in bytes.
const maxBy = 128

// With gives a client whose changes are asked for on these terms.
func (c *Client) With(t Terms) *Client {
	return &Client{nc: c.nc, ns: c.ns, Patience: c.Patience, terms: t}
}

func (t Terms) header() nats.Header {
	h := nats.Header{}
	for name, v := range map[string]string{HeaderBy: t.By, HeaderVia: t.Via} {
		if v != "" {
			h.Set(name, plainText(v))
		}
	}
	if t.Revision != 0 {
		h.Set(HeaderRevision, strconv.FormatUint(t.Revision, 10))
	}
	return h
}

// readTerms reads the headers of a request.
func readTerms(h nats.Header) (t Terms, err error) {
	t.By, t.Via = plainText(h.Get(HeaderBy)), plainText(h.Get(HeaderVia))
	if t.Via == "" {
		t.Via = "nats"
	}
	if v := h.Get(HeaderRevision); v != "" {
		if t.Revision, err = strconv.ParseUint(v, 10, 64); err != nil || t.Revision == 0 {
			return t, invalid(HeaderRevision, "send the revision that the job is to be at", "the header holds %.40q", v)
		}
	}
	return t, nil
}

// plainText makes of a text one that is short and may stand in a header.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxBy {
		s = strings.ToValidUTF8(s[:maxBy], "")
	}
	return strings.TrimSpace(s)
}

type termsKey struct{}

// termsOf are those of the request that is being carried out.
func termsOf(ctx context.Context) Terms {
	t, _ := ctx.Value(termsKey{}).(Terms)
	return t
}

// met refuses a change to a job that is at another revision than asked for.
func (t Terms) met(p *present) error {
	if t.Revision == 0 || t.Revision == p.revision && p.there {
		return nil
	}
	if !p.there {
		return notFound(p.name())
	}
	return atRevision(p.revision)
}
