package web

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hostile are places to go to that are none of this origin, or look like none.
var hostile = []string{
	"", "ui", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, `/ui\..\x`, "https://evil.example/ui/", "https:evil.example",
	"javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "/ui/\r\nSet-Cookie: x=y", "/\x00", "/\x7f",
	"/ü", "/%zz", "/" + strings.Repeat("a", longestPath), "?x", "#x", "@evil.example", ".evil.example",
}

func TestLogin(t *testing.T) {
	secret, viewer := made(t, "ann", "viewer")
	ringer, ring := made(t, "ci", "ring", "read")
	form := func(tokens ...string) string { return url.Values{"token": tokens}.Encode() }
	for _, tt := range []struct {
		name   string
		method string
		query  string
		body   string
		header []string
		status int
		to     string // where it leads
		text   string // what the page says
	}{
		{"the page", "GET", "", "", nil, 200, "", `type="password"`},
		{"its head", "HEAD", "", "", nil, 200, "", ""},
		{"another site's link", "GET", "?next=/ui/x", "", []string{"Sec-Fetch-Site", "cross-site"}, 200, "", `href="/ui/x"`},
		{"another site's bad link", "GET", "?next=//evil.example", "", []string{"Sec-Fetch-Site", "cross-site"}, 200, "", `href="/ui/"`},
		{"good", "POST", "", form(secret), nil, 303, "/ui/", ""},
		{"pasted", "POST", "", form(" " + secret + "\r\n"), nil, 303, "/ui/", ""},
		{"from a page", "POST", "?next=%2Fui%2Fjobs%3Fq%3Da%2526b", form(secret), []string{"Sec-Fetch-Site", "same-origin"}, 303, "/ui/jobs?q=a%26b", ""},
		{"behind a proxy", "POST", "?next=/ui/x", form(secret), []string{"X-Forwarded-Prefix", "/bellhop/"}, 303, "/bellhop/ui/x", ""},
		{"wrong", "POST", "", form(secret + "x"), nil, 401, "", "There is no such token."},
		{"none", "POST", "", "x=y", nil, 401, "", "There is no such token."},
		{"two", "POST", "", form(secret, secret), nil, 401, "", "There is no such token."},
		{"in the query", "POST", "?token=" + secret, "x=y", nil, 401, "", "There is no such token."},
		{"the hash", "POST", "", form(strings.Fields(viewer.String())[2]), nil, 401, "", "There is no such token."},
		{"too long", "POST", "", form(secret) + "&x=" + strings.Repeat("x", longestForm), nil, 401, "", "There is no such token."},
		{"no form", "POST", "", `{"token": "x"}`, nil, 401, "", "There is no such token."},
		{"may not look", "POST", "", form(ringer), nil, 403, "", "it needs the scope viewer"},
		{"another site", "POST", "", form(secret), []string{"Sec-Fetch-Site", "cross-site"}, 403, "", "another origin"},
		{"an old browser's", "POST", "", form(secret), []string{"Origin", "https://evil.example"}, 403, "", "another origin"},
		{"another method", "PUT", "", form(secret), nil, 405, "", "post a token"},
	} {
		w := ask(guarded(t, viewer, ring).Login(), tt.method, "/login"+tt.query, tt.body, tt.header...)
		if w.Code != tt.status || w.Header().Get("Location") != tt.to || !strings.Contains(w.Body.String(), tt.text) {
			t.Errorf("%s: %d %q %s", tt.name, w.Code, w.Header().Get("Location"), w.Body)
		}
		if (w.Code == 303) != (w.Header().Get("Set-Cookie") != "") {
			t.Errorf("%s: %d sets %q", tt.name, w.Code, w.Header().Get("Set-Cookie"))
		}
		if all := fmt.Sprint(w.Body, w.Header()); strings.Contains(all, secret) || strings.Contains(all, ringer) || strings.Contains(all, "evil.example") {
			t.Errorf("%s: shows %s", tt.name, all)
		}
		if w.Header().Get("Cache-Control") != "no-store" || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d with %v", tt.name, w.Code, w.Header())
		}
	}
}

// The cookie and the page's headers are what browsers need to keep them safe; and
// what is set is a session.
func TestLoginAnswers(t *testing.T) {
	secret, token := made(t, "ann", "operator")
	g := guarded(t, token)
	w := ask(g.Login(), http.MethodPost, "/login", "token="+secret)
	set := w.Header().Get("Set-Cookie")
	for _, want := range []string{"__Host-bellhop-session=ann.", "; Path=/", "; Max-Age=43200", "; HttpOnly", "; Secure", "; SameSite=Strict"} {
		if !strings.Contains(set, want) {
			t.Errorf("%q has no %q", set, want)
		}
	}
	if strings.Contains(set, "Domain") {
		t.Errorf("%q has a domain", set)
	}
	cookie, _, _ := strings.Cut(set, ";")
	if w := ask(g.Pages(who, "/login"), http.MethodPost, "/ui/", "", "Cookie", cookie); w.Code != 200 || w.Header().Get("Who") != "operator ann" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = ask(g.Login(), http.MethodGet, "/login", "", "X-Forwarded-Prefix", "/bellhop")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
		"Cache-Control":           "no-store",
		"Content-Type":            "text/html; charset=utf-8",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if page := w.Body.String(); !strings.Contains(page, `href="/bellhop/ui/static/app.css"`) || strings.Contains(page, "<script") || strings.Contains(page, "style=") || strings.Contains(page, "Go on") {
		t.Error(page)
	}
}

func TestLoginWithoutTokens(t *testing.T) {
	open := NewGuard(nil, addr(t, "127.0.0.1:80"))
	for _, to := range hostile {
		if w := ask(open.Login(), http.MethodGet, "/login?next="+url.QueryEscape(to), "", "Host", "localhost"); w.Code != 303 || w.Header().Get("Location") != home {
			t.Errorf("%q: %d %q", to, w.Code, w.Header().Get("Location"))
		}
	}
	for name, tt := range map[string]struct {
		w      *httptest.ResponseRecorder
		status int
	}{
		"pages":               {ask(open.Pages(who, "/login"), http.MethodPost, "/ui/", "", "Host", "localhost"), 200},
		"pages, bent name":    {ask(open.Pages(who, "/login"), http.MethodGet, "/ui/", "", "Host", "evil.example", "Accept", "text/html"), 421},
		"login, bent name":    {ask(open.Login(), http.MethodGet, "/login", "", "Host", "evil.example"), 421},
		"login, shut":         {ask(NewGuard(nil, addr(t, "0.0.0.0:80")).Login(), http.MethodGet, "/login", "", "Host", "localhost"), 403},
		"pages, shut":         {ask(NewGuard(nil, addr(t, "0.0.0.0:80")).Pages(who, "/login"), http.MethodGet, "/ui/", "", "Host", "localhost", "Accept", "text/html"), 403},
		"pages, another site": {ask(open.Pages(who, "/login"), http.MethodPost, "/ui/", "", "Host", "localhost", "Sec-Fetch-Site", "cross-site"), 403},
	} {
		if tt.w.Code != tt.status || tt.status == 200 && tt.w.Header().Get("Who") != "admin " {
			t.Errorf("%s: %d %v %s", name, tt.w.Code, tt.w.Header(), tt.w.Body)
		}
	}
}

func TestLoginSaysPlain(t *testing.T) {
	_, token := made(t, "ann", "viewer")
	for _, tt := range []struct {
		host, proto string
		tls, says   bool
	}{
		{"localhost:8080", "", false, false}, {"127.0.0.1", "", false, false}, {"[::1]:80", "", false, false},
		{"bellhop.example", "", false, true}, {"10.0.0.1:8080", "http", false, true}, {"bellhop.example", "http, https", false, true},
		{"bellhop.example", "", true, false}, {"bellhop.example", "https", false, false}, {"bellhop.example", "HTTPS, http", false, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/login", nil)
		r.Host = tt.host
		r.Header.Set("X-Forwarded-Proto", tt.proto)
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		guarded(t, token).Login().ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), "BELLHOP_HTTP_TLS_CERT") != tt.says {
			t.Errorf("%+v: %s", tt, w.Body)
		}
	}
}

func TestLoginLimit(t *testing.T) {
	secret, token := made(t, "ann", "viewer")
	g := guarded(t, token)
	now := noon
	g.now = func() time.Time { return now }
	from := "192.0.2.1:1000"
	try := func(typed string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader("token="+typed))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		g.Login().ServeHTTP(w, r)
		return w
	}
	for i := range mostFailures {
		if w := try("x"); w.Code != 401 {
			t.Fatalf("failure %d: %d", i, w.Code)
		}
		if w := try(secret); i < mostFailures-1 && w.Code != 303 {
			t.Fatalf("after failure %d: %d", i, w.Code)
		}
		now = now.Add(time.Second)
	}
	from = "192.0.2.1:2000" // another port is the same machine
	for _, typed := range []string{"x", secret} {
		if w := try(typed); w.Code != 429 || w.Header().Get("Retry-After") != "50" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("too many: %d %v", w.Code, w.Header())
		}
	}
	from = "192.0.2.2:1000"
	if w := try("x"); w.Code != 401 {
		t.Errorf("another address: %d", w.Code)
	}
	from, now = "[::ffff:192.0.2.1]:1", noon.Add(failureWindow-1)
	if w := try(secret); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("almost a minute later: %d %v", w.Code, w.Header())
	}
	now = noon.Add(failureWindow)
	if w := try("x"); w.Code != 401 {
		t.Errorf("a minute later: %d", w.Code)
	}
	if w := try("x"); w.Code != 429 {
		t.Errorf("once more: %d", w.Code)
	}
}

// Logins that come together are not more than ten, and many addresses take no
// more room than there is.
func TestFailures(t *testing.T) {
	var f failures
	var wrong atomic.Int32
	var group sync.WaitGroup
	one := netip.MustParsePrefix("192.0.2.1/32")
	for range 100 {
		group.Go(func() {
			if f.note(one, true, noon) == 0 {
				wrong.Add(1)
			}
		})
	}
	group.Wait()
	if wrong.Load() != mostFailures {
		t.Errorf("%d failures", wrong.Load())
	}
	for i := range mostFailing + 100 {
		f.note(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), true, noon)
	}
	if len(f.at) != mostFailing {
		t.Errorf("%d addresses", len(f.at))
	}
	f.note(netip.MustParsePrefix("192.0.2.2/32"), true, noon.Add(2*failureWindow))
	if len(f.at) != 1 {
		t.Errorf("%d addresses are left", len(f.at))
	}
	for from, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1/32", "[2001:db8::1:2]:1": "2001:db8::/64", "[fe80::1%eth0]:1": "fe80::/64", "@": "invalid Prefix",
	} {
		if got := remote(&http.Request{RemoteAddr: from}).String(); got != want {
			t.Errorf("%s: %s", from, got)
		}
	}
}

func TestPrefix(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "/": "", "//": "", "///": "", "/./": "", "/bellhop": "/bellhop", "/bellhop/": "/bellhop", "/a-b/c_d/1.2": "/a-b/c_d/1.2",
		"bellhop": "", "//evil.example": "", "/a//b": "", "/a//": "", "/../x": "", "/a/..": "", "/a..b": "", "/./a": "", `/\evil`: "", "/a b": "", "/a?b": "",
		"/a#b": "", "/%2f": "", "/ü": "", "/a\n": "", "/a, /b": "", "https://evil.example": "", "/" + strings.Repeat("a", longestPath): "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["X-Forwarded-Prefix"] = []string{header}
		if got := Prefix(r); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["X-Forwarded-Prefix"] = []string{"/a", "/b"}
	if got := Prefix(r); got != "" {
		t.Errorf("two: %q", got)
	}
	_, token := made(t, "ann", "viewer")
	w := ask(guarded(t, token).Pages(who, "/login"), http.MethodGet, "/ui/x", "", "Accept", "text/html", "X-Forwarded-Prefix", "/bellhop")
	if to := w.Header().Get("Location"); to != "/bellhop/login?next=%2Fui%2Fx" {
		t.Errorf("leads to %q", to)
	}
}
