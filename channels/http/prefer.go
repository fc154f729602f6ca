package httpchannel

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// preferWait is how long the client would wait for the output (RFC 7240, section
// 4.3): 0 where it does not say. Of several the first counts, as the RFC has it,
// and preferences that are not known are ignored.
func preferWait(h http.Header) (time.Duration, error) {
	for _, line := range h.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			preference, _, _ := strings.Cut(part, ";") // parameters
			name, value, found := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if !found || err != nil {
				return 0, fmt.Errorf("the header Prefer says %.40q: use wait=N, in whole seconds", strings.TrimSpace(preference))
			}
			return min(time.Duration(n)*time.Second, MaxWait), nil
		}
	}
	return 0, nil
}

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

// idempotencyKey is the key that the client has chosen, empty if it has none. It
// may stand in quotes, as a string of structured fields (RFC 9651).
func idempotencyKey(h http.Header) (string, error) {
	all := h.Values("Idempotency-Key")
	if len(all) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(all[0])
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(key[1 : len(key)-1])
	}
	if len(all) > 1 || key == "" || len(key) > maxKey || !utf8.ValidString(key) || strings.ContainsFunc(key, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return "", errors.New("the header Idempotency-Key: use one, of 1 to 255 bytes of printable text")
	}
	return key, nil
}
