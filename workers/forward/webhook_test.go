package forward

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// The example of the specification of Standard Webhooks.
func TestSign(t *testing.T) {
	keys, err := parseSecrets([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + strings.Repeat("A", 32)})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	first, second, _ := strings.Cut(h.Get("webhook-signature"), " ")
	if first != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || !strings.HasPrefix(second, "v1,") || second == first {
		t.Errorf("signature %s", h.Get("webhook-signature"))
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("headers %v", h)
	}
	for _, bad := range []string{"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_AAAA", "whsec_!", "whsec_" + strings.Repeat("A", 100)} {
		if _, err := parseSecrets([]string{bad}); err == nil || bad != "" && strings.Contains(err.Error(), bad) && bad != "whsec_" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A request is signed over what is sent.
func TestSigned(t *testing.T) {
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer s.Close()
	e, err := New(s.URL, Options{Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.client.CloseIdleConnections()
	if _, err := e.Serve(t.Context(), &workers.Trigger{Run: "j@1", Payload: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, "2026-01-01T00:00:00Z")
	if err != nil || got.Get("webhook-id") != "j@1" || got.Get("webhook-timestamp") < "1" {
		t.Fatalf("%v %v", got, err)
	}
	want := http.Header{}
	sign(want, e.keys, "j@1", at, []byte("other"))
	if sig := got.Get("webhook-signature"); !strings.HasPrefix(sig, "v1,") || sig == want.Get("webhook-signature") {
		t.Errorf("signature %s", sig)
	}
	if _, err := New(s.URL, Options{Header: http.Header{"Webhook-Id": {"x"}}}); err == nil {
		t.Error("a webhook header is taken")
	}
}

func TestIsPublic(t *testing.T) {
	for a, want := range map[string]bool{
		"1.1.1.1": true, "93.184.215.14": true, "2606:4700::1111": true, "172.32.0.1": true, "100.63.0.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "fe80::1": false, "fe80::1%lo": false,
		"fd00:ec2::254": false, "0.0.0.0": false, "0.1.2.3": false, "::": false, "100.64.0.1": false, "224.0.0.1": false, "ff02::1": false,
		"255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "192.0.0.8": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:0:a00::1": false, "fec0::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// A name that leads to this machine is refused when it is dialled; what the URL
// spells out, or Allow opens, is not.
func TestTargets(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	address := s.Listener.Addr().String() // what a name server would answer
	for _, tt := range []struct {
		host  string
		allow []string
		ok    bool
	}{
		{"127.0.0.1", nil, true}, {"localhost", nil, true}, {"LOCALHOST", nil, true}, {"10.0.0.1", nil, false},
		{"crm.example", nil, false}, {"crm.example", []string{"127.0.0.1"}, true}, {"crm.example", []string{"127.0.0.0/8"}, true},
		{"crm.example", []string{"10.0.0.0/8", "::1"}, false},
	} {
		allowed, err := newTargets(tt.host, tt.allow)
		if err != nil {
			t.Fatal(err)
		}
		c, err := allowed.dial(t.Context(), "tcp", address)
		switch {
		case err == nil:
			c.Close()
			if !tt.ok {
				t.Errorf("%s, allowed %v: let through", tt.host, tt.allow)
			}
		case tt.ok || !errors.Is(err, ErrTarget) || !workers.IsPermanent(err):
			t.Errorf("%s, allowed %v: %v", tt.host, tt.allow, err)
		}
	}
	if _, err := New(s.URL, Options{Allow: []string{"nonsense"}}); err == nil {
		t.Error("nonsense is allowed")
	}
}
