package httpchannel

import (
	"net/http"
	"testing"
	"time"
)

func TestPreferWait(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "respond-async": 0, "wait=0": 0, "wait=5": 5 * time.Second, "WAIT = \"5\"": 5 * time.Second, "handling=lenient, wait=7;x=1": 7 * time.Second,
		"wait=3, wait=9": 3 * time.Second, "wait=999999": MaxWait, "waiting=5": 0,
	} {
		if got, err := preferWait(http.Header{"Prefer": {value}}); err != nil || got != want {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	for _, value := range []string{"wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "wait=99999999999999999999"} {
		if got, err := preferWait(http.Header{"Prefer": {value}}); err == nil {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func FuzzPreferWait(f *testing.F) {
	f.Add("respond-async, wait=10; x")
	f.Fuzz(func(t *testing.T, value string) {
		if d, err := preferWait(http.Header{"Prefer": {value}}); d < 0 || d > MaxWait || err != nil && d != 0 {
			t.Errorf("%q: %v, %v", value, d, err)
		}
	})
}

// A key of whatever form is one that a ring takes, or none.
func FuzzIdempotencyKey(f *testing.F) {
	f.Add(`"a \"quoted\" key"`)
	f.Add("8e03978e-40d5-43e8-bc93-6894a57f9324")
	f.Fuzz(func(t *testing.T, value string) {
		key, err := idempotencyKey(http.Header{"Idempotency-Key": {value}})
		if err == nil && (key == "" || len(key) > maxKey) || err != nil && key != "" {
			t.Errorf("%q: %q, %v", value, key, err)
		}
	})
}
