package web

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

//go:embed login.html
var loginHTML string

var loginPage = template.Must(template.New("login").Parse(loginHTML))

// loginView is what the page shows.
type loginView struct {
	Prefix  string
	Message string // what was wrong; empty at first
	Plain   bool   // no browser will keep the cookie
	Onward  string // for those who may have a session already
}

// longestForm is far more than a token needs.
const longestForm = 4 << 10

// Login is the page on which a browser begins a session, with a token; then it is
// led to the path that the parameter next gives. Where there are no tokens, it is
// led there at once.
func (g *Guard) Login() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
			w.Header().Set("Allow", "GET, HEAD, POST")
			refuse(w, http.StatusMethodNotAllowed, "get the page, or post a token", "")
			return
		}
		// The page of another origin could log somebody in as somebody else.
		if !g.admit(w, r) {
			return
		}
		switch {
		case len(g.tokens) == 0:
			lead(w, r, next(r))
		case r.Method == http.MethodPost:
			g.login(w, r)
		default:
			showLogin(w, r, http.StatusOK, "")
		}
	})
}

func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	_ = r.ParseForm() // what cannot be read has no token
	var t *Token
	if typed := r.PostForm["token"]; len(typed) == 1 {
		t = find(g.tokens, strings.TrimSpace(typed[0]))
	}
	if wait := g.failures.note(remote(r), t == nil, g.now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wait))
		showLogin(w, r, http.StatusTooManyRequests, fmt.Sprintf("Too many tokens were wrong. Try again in %d s.", wait))
		return
	}
	switch {
	case t == nil:
		w.Header().Set("WWW-Authenticate", challenge)
		showLogin(w, r, http.StatusUnauthorized, "There is no such token.")
	case t.role() == NoRole: // else it would be refused by every page it is led to
		showLogin(w, r, http.StatusForbidden, fmt.Sprintf("The token %s may not look at pages: it needs the scope viewer.", t.Name))
	default:
		g.begin(w, t)
		lead(w, r, next(r))
	}
}

func showLogin(w http.ResponseWriter, r *http.Request, status int, message string) {
	v := loginView{Prefix: Prefix(r), Message: message, Plain: isPlain(r)}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		// A browser that follows another site's link leaves a SameSite=Strict
		// cookie out. With the page's own link it comes.
		v.Onward = v.Prefix + next(r)
	}
	harden(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, v) // whoever asked has gone
}

// isPlain says whether browsers refuse the cookie: it wants TLS, here or in front
// of a proxy, or a host that is their own machine. Whatever lies about that is
// shown a wrong hint, and nothing else.
func isPlain(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS == nil && !strings.EqualFold(strings.TrimSpace(first), "https") && !isLocal(r.Host)
}

// harden keeps an answer from being framed, kept, or made to load or send
// anything elsewhere.
func harden(w http.ResponseWriter) {
	for name, value := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
		"Cache-Control":           "no-store",
	} {
		w.Header().Set(name, value)
	}
}
