package forward

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/bellhop-run/bellhop/workers"
)

// own are the headers that nobody else sets.
var own = []string{
	workers.HeaderRun, workers.HeaderJob, workers.HeaderDue, workers.HeaderChannel,
	"Idempotency-Key", headerWebhookID, headerWebhookTimestamp, headerWebhookSignature, "Content-Length", "Transfer-Encoding", "Connection", "Host",
}

// checkHeader refuses what cannot be sent, or would be in the way.
func checkHeader(h http.Header) error {
	for name, values := range h {
		switch {
		case !isToken(name):
			return fmt.Errorf("header %.60q: a header's name is of letters, digits and -", name)
		case name != textproto.CanonicalMIMEHeaderKey(name):
			return fmt.Errorf("header %s: write it %s", name, textproto.CanonicalMIMEHeaderKey(name))
		case slices.Contains(own, name):
			return fmt.Errorf("header %s is not yours to set", name)
		case !slices.ContainsFunc(values, func(v string) bool { return !sendable(v) }):
			continue
		}
		return fmt.Errorf("header %s: its value holds a line break or another control character", name) // and may be a secret
	}
	return nil
}

func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// sendable says whether a header can have the value.
func sendable(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
