package forward

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed request, as Standard Webhooks has them
// (https://www.standardwebhooks.com).
const (
	headerWebhookID        = "Webhook-Id"
	headerWebhookTimestamp = "Webhook-Timestamp"
	headerWebhookSignature = "Webhook-Signature"
)

// secretPrefix begins a secret in Standard Webhooks.
const secretPrefix = "whsec_"

// The bounds of a secret, in bytes, as the specification has them.
const (
	minSecret = 24
	maxSecret = 64
)

// parseSecret reads whsec_ and base64.
func parseSecret(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("a secret is %s and %d to %d bytes in base64", secretPrefix, minSecret, maxSecret) // and is not shown
	}
	return key, nil
}

// parseSecrets reads those that requests are signed with.
func parseSecrets(all []string) ([][]byte, error) {
	var keys [][]byte
	for i, s := range all {
		key, err := parseSecret(s)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// sign adds a signature for each secret: an endpoint takes any that it knows, so
// that secrets can be changed one side after the other.
func sign(h http.Header, keys [][]byte, id string, at time.Time, body []byte) {
	if len(keys) == 0 {
		return
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	var all []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set(headerWebhookID, id)
	h.Set(headerWebhookTimestamp, timestamp)
	h.Set(headerWebhookSignature, strings.Join(all, " "))
}
