package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// noon is when the tests of sessions play.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// made makes a token; its secret comes with it.
func made(t testing.TB, name string, scopes ...string) (string, Token) {
	t.Helper()
	secret, token, err := NewToken(name, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return secret, token
}

// guarded is a guard with these tokens, at noon.
func guarded(t testing.TB, tokens ...Token) *Guard {
	t.Helper()
	g := NewGuard(tokens, addr(t, "0.0.0.0:80"))
	g.now = func() time.Time { return noon }
	return g
}

// cookie is the value that begin sets.
func (g *Guard) cookie(t testing.TB, token *Token) string {
	t.Helper()
	w := httptest.NewRecorder()
	g.begin(w, token)
	for _, c := range w.Result().Cookies() {
		if c.Name == sessionCookie {
			return c.Value
		}
	}
	t.Fatal("no cookie is set")
	return ""
}

// ask sends a request with these headers, name and value in turn.
func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// who answers with who has come.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Who", fmt.Sprintf("%s %s", RoleOf(r), Caller(r)))
})

func TestRoles(t *testing.T) {
	open := NewGuard(nil, addr(t, "127.0.0.1:80"))
	if w := ask(open.Look(who), http.MethodDelete, "/api/v1/jobs/x", "", "Host", "localhost"); w.Code != 200 || w.Header().Get("Who") != "admin " {
		t.Errorf("without tokens: %d %q", w.Code, w.Header().Get("Who"))
	}
	if w := ask(open.Look(who), http.MethodGet, "/api/v1/jobs", "", "Host", "evil.example"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("without tokens, for another host: %d", w.Code)
	}
	if w := ask(NewGuard(nil, addr(t, "0.0.0.0:80")).Look(who), http.MethodGet, "/api/v1/jobs", "", "Host", "localhost"); w.Code != http.StatusForbidden {
		t.Errorf("shut: %d", w.Code)
	}
	if r := RoleOf(httptest.NewRequest(http.MethodGet, "/", nil)); r != NoRole || r.String() != "none" {
		t.Errorf("without a guard: %v", r)
	}
	for _, tt := range []struct {
		scopes           string
		role             Role
		look, read, ring int
	}{
		{"viewer", Viewer, 200, 200, 403},
		{"operator", Operator, 200, 200, 403},
		{"admin", Admin, 200, 200, 200},
		{"read", NoRole, 403, 200, 403},
		{"ring", NoRole, 403, 403, 200},
		{"ring:s", NoRole, 403, 403, 200},
		{"ring:admin", NoRole, 403, 403, 403},
		{"operator,viewer,ring:s", Operator, 200, 200, 200},
	} {
		secret, token := made(t, "ci", strings.Split(tt.scopes, ",")...)
		if back, err := parseToken(token.String()); err != nil || back.role() != tt.role {
			t.Errorf("%s: %v, %v", tt.scopes, back.role(), err)
		}
		g := guarded(t, token)
		for _, at := range []struct {
			h    http.Handler
			path string
			want int
		}{
			{g.Look(who), "/api/v1/jobs", tt.look}, {g.Pages(who, "/login"), "/ui/", tt.look},
			{g.Read(who), "/runs/x", tt.read}, {g.Ring(who), "/services/s", tt.ring},
		} {
			w := ask(at.h, http.MethodPost, at.path, "", "Authorization", "Bearer "+secret)
			if w.Code != at.want || w.Code == 200 && w.Header().Get("Who") != tt.role.String()+" ci" {
				t.Errorf("%s: %s: %d %q %s", tt.scopes, at.path, w.Code, w.Header().Get("Who"), w.Body)
			}
			if w := ask(at.h, http.MethodPost, at.path, "", "Authorization", "Bearer "+secret, "Sec-Fetch-Site", "cross-site"); w.Code != 403 || !strings.Contains(w.Body.String(), "another origin") {
				t.Errorf("%s: %s from another site: %d %s", tt.scopes, at.path, w.Code, w.Body)
			}
			if w := ask(at.h, http.MethodPost, at.path, ""); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %s with nothing: %d", tt.scopes, at.path, w.Code)
			}
		}
	}
}

func TestPages(t *testing.T) {
	secret, viewer := made(t, "ann", "viewer")
	_, admin := made(t, "root", "admin")
	ringer, ring := made(t, "ci", "ring")
	_, other := made(t, "ann", "admin") // of the same name, but not in the file
	g := guarded(t, viewer, admin, ring)
	good := g.cookie(t, &viewer)
	until := strconv.FormatInt(noon.Add(sessionLife).Unix(), 10)
	mac := good[strings.LastIndexByte(good, '.')+1:]
	cookie := func(values ...string) (header []string) {
		for _, v := range values {
			header = append(header, "Cookie", sessionCookie+"="+v)
		}
		return header
	}
	html := []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}
	for _, tt := range []struct {
		name   string
		method string
		header []string
		status int
		who    string
	}{
		{"a session", "GET", cookie(good), 200, "viewer ann"},
		{"its own page posts", "POST", append(cookie(good), "Sec-Fetch-Site", "same-origin"), 200, "viewer ann"},
		{"an admin's", "DELETE", cookie(g.cookie(t, &admin)), 200, "admin root"},
		{"another's cookies beside it", "GET", []string{"Cookie", "theme=dark; " + sessionCookie + "=" + good + "; x=y"}, 200, "viewer ann"},
		{"a proxy's own password beside it", "GET", append(cookie(good), "Authorization", "Basic eDp5"), 200, "viewer ann"},
		{"a token", "GET", []string{"Authorization", "Bearer " + secret}, 200, "viewer ann"},
		{"a bad token beside it", "GET", append(cookie(good), "Authorization", "Bearer x"), 401, ""},
		{"a token that may not, beside it", "GET", append(cookie(good), "Authorization", "Bearer "+ringer), 403, ""},
		{"a session that may not", "GET", cookie(g.cookie(t, &ring)), 403, ""},
		{"another site posts", "POST", append(cookie(good), "Sec-Fetch-Site", "cross-site"), 403, ""},
		{"a neighbour posts", "POST", append(cookie(good), "Sec-Fetch-Site", "same-site"), 403, ""},
		{"another site deletes", "DELETE", append(cookie(good), "Origin", "https://evil.example"), 403, ""},
		{"nothing", "GET", nil, 401, ""},
		{"nothing, a browser", "GET", html, 303, ""},
		{"nothing, a browser's HEAD", "HEAD", html, 303, ""},
		{"nothing, a browser posts", "POST", html, 401, ""},
		{"nothing, a browser has a bad token", "GET", append([]string{"Authorization", "Bearer x"}, html...), 401, ""},
		{"nothing, takes anything", "GET", []string{"Accept", "*/*"}, 401, ""},
		{"nothing, no HTML", "GET", []string{"Accept", "text/html;q=0, application/json"}, 401, ""},
		{"nothing, some HTML", "GET", []string{"Accept", "application/json", "Accept", "Text/HTML;q=0.1"}, 303, ""},
		{"nothing, a style sheet", "GET", []string{"Accept", "text/css,*/*;q=0.1"}, 401, ""},
		{"two sessions", "GET", cookie(good, good), 401, ""},
		{"an old one, a browser", "GET", append(cookie("ann.1."+mac), html...), 303, ""},
		{"empty", "GET", cookie(""), 401, ""},
		{"a name", "GET", cookie("ann"), 401, ""},
		{"no seal", "GET", cookie("ann." + until), 401, ""},
		{"an empty seal", "GET", cookie("ann." + until + "."), 401, ""},
		{"truncated", "GET", cookie(good[:len(good)-1]), 401, ""},
		{"longer", "GET", cookie(good + "A"), 401, ""},
		{"a part more", "GET", cookie(good + ".x"), 401, ""},
		{"padded", "GET", cookie(good + "="), 401, ""},
		{"later", "GET", cookie("ann.9" + until + "." + mac), 401, ""},
		{"another's name", "GET", cookie("root." + until + "." + mac), 401, ""},
		{"nobody's name", "GET", cookie("eve." + until + "." + mac), 401, ""},
		{"a token that is not in the file", "GET", cookie(other.sign(until)), 401, ""},
		{"the token itself", "GET", cookie(secret), 401, ""},
		{"the hash as the seal", "GET", cookie("ann." + until + "." + base64.RawURLEncoding.EncodeToString(viewer.Hash[:])), 401, ""},
		{"expired", "GET", cookie(viewer.sign(strconv.FormatInt(noon.Unix(), 10))), 401, ""},
		{"about to", "GET", cookie(viewer.sign(strconv.FormatInt(noon.Unix()+1, 10))), 200, "viewer ann"},
		{"no time", "GET", cookie(viewer.sign("never")), 401, ""},
		{"too large a time", "GET", cookie(viewer.sign(strings.Repeat("9", 30))), 401, ""},
		{"under another name", "GET", []string{"Cookie", "bellhop-session=" + good}, 401, ""},
	} {
		w := ask(g.Pages(who, "/login"), tt.method, "/ui/jobs?state=active&q=a%26b", "", tt.header...)
		if w.Code != tt.status || w.Header().Get("Who") != tt.who {
			t.Errorf("%s: %d %q %s", tt.name, w.Code, w.Header().Get("Who"), w.Body)
		}
		if to := w.Header().Get("Location"); (w.Code == 303) != (to == "/login?next=%2Fui%2Fjobs%3Fstate%3Dactive%26q%3Da%2526b") {
			t.Errorf("%s: %d leads to %q", tt.name, w.Code, to)
		}
	}
	// A session is for Pages alone.
	for name, h := range map[string]http.Handler{"Look": g.Look(who), "Read": g.Read(who), "Ring": g.Ring(who)} {
		if w := ask(h, http.MethodGet, "/x", "", cookie(g.cookie(t, &admin))...); w.Code != 401 {
			t.Errorf("%s takes a session: %d", name, w.Code)
		}
	}
}

// Processes with the same tokens know each other's sessions, which end with the
// token, with the 12 hours, or when the token is made anew.
func TestSessionEnds(t *testing.T) {
	_, token := made(t, "ann", "viewer")
	_, rest := made(t, "bob", "viewer")
	_, anew := made(t, "ann", "viewer")
	header := []string{"Cookie", sessionCookie + "=" + guarded(t, token).cookie(t, &token)}
	for _, tt := range []struct {
		name   string
		tokens []Token
		after  time.Duration
		status int
	}{
		{"another process", []Token{rest, token}, 0, 200},
		{"at the last", []Token{token}, sessionLife - time.Second, 200},
		{"after it", []Token{token}, sessionLife, 401},
		{"taken out", []Token{rest}, 0, 401},
		{"made anew", []Token{anew, rest}, 0, 401},
	} {
		g := guarded(t, tt.tokens...)
		g.now = func() time.Time { return noon.Add(tt.after) }
		if w := ask(g.Pages(who, "/login"), http.MethodGet, "/ui/", "", header...); w.Code != tt.status {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

func TestLogout(t *testing.T) {
	_, token := made(t, "ann", "viewer")
	g := guarded(t, token)
	w := ask(g.Logout(), http.MethodPost, "/logout", "", "X-Forwarded-Prefix", "/bellhop")
	c := w.Result().Cookies()
	if w.Code != 303 || w.Header().Get("Location") != "/bellhop/ui/" || len(c) != 1 || c[0].Name != sessionCookie || c[0].MaxAge >= 0 || !c[0].Secure || c[0].Path != "/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"GET":          ask(g.Logout(), http.MethodGet, "/logout", ""),
		"another site": ask(g.Logout(), http.MethodPost, "/logout", "", "Sec-Fetch-Site", "cross-site"),
	} {
		if w.Code < 400 || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

// FuzzSession tries cookies: only what the guard has signed is a session.
func FuzzSession(f *testing.F) {
	_, token := made(f, "ann", "viewer")
	_, other := made(f, "bob", "admin")
	g := guarded(f, token, other)
	good := g.cookie(f, &token)
	for _, s := range []string{
		good, good[:20], good + "; " + sessionCookie + "=" + good, `"` + good + `"`, "", ".", "..", "ann..", "ann.1.", "ann.-1.x", "=", good + "\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{sessionCookie + "=" + s}
		// A browser, or Go, may put it in quotes or spaces.
		if found := g.session(r); (found != nil) != (found == &g.tokens[0] && strings.Contains(s, good)) {
			t.Errorf("%q is a session of %v", s, found)
		}
	})
}

// FuzzNext tries where to go after the login: never to another origin.
func FuzzNext(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, "")
	}
	f.Add("/ui/jobs?q=a//b#c", "/bellhop")
	f.Add("/x", "//evil.example")
	f.Add("/x", "//")
	f.Add("evil.example", "/a/")
	g := NewGuard(nil, addr(f, "127.0.0.1:80"))
	base, err := url.Parse("https://bellhop.example/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next, prefix string) {
		r := httptest.NewRequest(http.MethodGet, "/login?next="+url.QueryEscape(next), nil)
		r.Host = "localhost"
		r.Header["X-Forwarded-Prefix"] = []string{prefix}
		w := httptest.NewRecorder()
		g.Login().ServeHTTP(w, r)
		to := w.Header().Get("Location")
		// What browsers do before they look.
		as := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimFunc(to, func(c rune) bool { return c <= ' ' }))
		u, err := base.Parse(as)
		if w.Code != 303 || err != nil || u.Host != base.Host || u.Scheme != base.Scheme || as != to || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
			t.Errorf("%q under %q leads to %q", next, prefix, to)
		}
	})
}
