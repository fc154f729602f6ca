package web

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

func addr(t testing.TB, s string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestGuard(t *testing.T) {
	secret, some, err := NewToken("ci", []string{"ring:billing.*", "ring:crm", "read"})
	if err != nil {
		t.Fatal(err)
	}
	ringer, all, err := NewToken("ops", []string{"ring"})
	if err != nil {
		t.Fatal(err)
	}
	open := NewGuard(nil, addr(t, "127.0.0.1:80"))
	closed := NewGuard([]Token{all, some}, addr(t, "0.0.0.0:80"))
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Who", Caller(r)) })
	for _, tt := range []struct {
		name   string
		g      *Guard
		path   string
		host   string
		header []string
		status int
		who    string
	}{
		{"no tokens", open, "/services/s", "localhost:8080", nil, 200, ""},
		{"no tokens, by number", open, "/services/s", "[::1]:8080", nil, 200, ""},
		{"a name that was bent to here", open, "/services/s", "evil.example", nil, 421, ""},
		{"a number of the network", open, "/services/s", "10.0.0.1", nil, 421, ""},
		{"a page of another origin", open, "/services/s", "localhost", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"an old browser's", open, "/services/s", "localhost", []string{"Origin", "https://evil.example"}, 403, ""},
		{"its own page", open, "/services/s", "localhost", []string{"Sec-Fetch-Site", "same-origin"}, 200, ""},
		{"none", closed, "/services/s", "x.example", nil, 401, ""},
		{"wrong", closed, "/services/s", "x.example", []string{"Authorization", "Bearer " + secret + "x"}, 401, ""},
		{"another scheme", closed, "/services/s", "x.example", []string{"Authorization", "Basic " + secret}, 401, ""},
		{"empty", closed, "/services/s", "x.example", []string{"Authorization", "Bearer "}, 401, ""},
		{"two", closed, "/services/crm", "x.example", []string{"Authorization", "Bearer " + secret, "Authorization", "Bearer " + secret}, 401, ""},
		{"the hash in place of the token", closed, "/services/crm", "x.example", []string{"Authorization", "Bearer " + strings.Fields(some.String())[2]}, 401, ""},
		{"one service", closed, "/services/crm", "x.example", []string{"Authorization", "bearer " + secret}, 200, "ci"},
		{"one below", closed, "/services/billing.send", "x.example", []string{"Authorization", "Bearer " + secret}, 200, "ci"},
		{"the prefix itself", closed, "/services/billing", "x.example", []string{"Authorization", "Bearer " + secret}, 403, ""},
		{"like the prefix", closed, "/services/billings.send", "x.example", []string{"Authorization", "Bearer " + secret}, 403, ""},
		{"another service", closed, "/services/s", "x.example", []string{"Authorization", "Bearer " + secret}, 403, ""},
		{"every service", closed, "/services/s", "x.example", []string{"Authorization", "Bearer " + ringer}, 200, "ops"},
		{"reads", closed, "/runs/x", "x.example", []string{"Authorization", "Bearer " + secret}, 200, "ci"},
		{"may not read", closed, "/runs/x", "x.example", []string{"Authorization", "Bearer " + ringer}, 403, ""},
	} {
		h := tt.g.Ring(who)
		if strings.HasPrefix(tt.path, "/runs/") {
			h = tt.g.Read(who)
		}
		r := httptest.NewRequest(http.MethodPost, tt.path, nil)
		r.Host = tt.host
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Add(tt.header[i], tt.header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.status || w.Header().Get("Who") != tt.who {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
		if (w.Code == 401 || w.Code == 403 && tt.g == closed) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d with WWW-Authenticate %q", tt.name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s: the token is shown", tt.name)
		}
	}
}

// Without tokens nobody from elsewhere is let in.
func TestGuardNeedsTokens(t *testing.T) {
	for a, ok := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "192.0.2.1:1": false,
	} {
		g := NewGuard(nil, addr(t, a))
		if g.shut == ok {
			t.Errorf("%s: shut %v", a, g.shut)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/services/s", nil)
		r.Host = "localhost"
		g.Ring(http.NotFoundHandler()).ServeHTTP(w, r)
		if (w.Code == http.StatusForbidden) == ok || !ok && !strings.Contains(w.Body.String(), "BELLHOP_HTTP_TOKENS") {
			t.Errorf("%s: %d %s", a, w.Code, w.Body)
		}
	}
}

func TestTokens(t *testing.T) {
	secret, token, err := NewToken("ci", []string{"ring:a.*", "read"})
	if err != nil || len(secret) < 40 {
		t.Fatal(secret, err)
	}
	for _, bad := range [][]string{{"a b", "ring"}, {"ci"}, {"ci", "write"}, {"ci", "ring:"}, {"ci", "ring:a..b"}, {"ci", "ring:*"}, {"ci", "none"}, {"ci", "Admin"}, {"ci", "viewer:s"}} {
		if _, _, err := NewToken(bad[0], bad[1:]); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	file := filepath.Join(t.TempDir(), "tokens")
	load := func(text string) ([]Token, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadTokens(file)
	}
	got, err := load("# who may ring\n\n" + token.String() + " # the pipeline\n")
	if err != nil || len(got) != 1 || got[0].String() != token.String() || find(got, secret) != &got[0] {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := LoadTokens(""); got != nil || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                                     "no token",
		"ci ring":                              "line 1: write a name",
		"\nci ring " + secret:                  "line 2: the third field",
		"c.i ring sha256:00":                   "line 1: name",
		"ci rang sha256:00":                    "line 1: scope",
		"ci ring sha256:zz":                    "the third field",
		"ci ring sha256:0011":                  "the third field",
		strings.Repeat(token.String()+"\n", 2): "line 2: ci has this name",
	} {
		_, err := load(text)
		if _, ok := err.(*config.Error); !ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) { //nolint:errorlint // it comes as it is
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := LoadTokens(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
}
