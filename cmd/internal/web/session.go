package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// sessionCookie is one that only this host can have set, over TLS: that is
	// what browsers make of the prefix.
	sessionCookie = "__Host-bellhop-session"
	sessionLife   = 12 * time.Hour
)

// sign is the value of a session's cookie: NAME.EXPIRY.MAC. Nothing is kept of
// it. Its key comes from the token's hash, so that every process with the same
// tokens knows it, and that it ends with its token.
func (t *Token) sign(expiry string) string {
	key := hmac.New(sha256.New, t.Hash[:])
	key.Write([]byte("bellhop session 1")) // the hash is for nothing but this label
	text := t.Name + "." + expiry          // no name has a dot
	mac := hmac.New(sha256.New, key.Sum(nil))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// session is the token whose session a request came with; nil if there is none.
func (g *Guard) session(r *http.Request) *Token {
	cookies := r.CookiesNamed(sessionCookie)
	if len(cookies) != 1 {
		return nil
	}
	value := cookies[0].Value
	name, rest, _ := strings.Cut(value, ".")
	expiry, _, _ := strings.Cut(rest, ".")
	for i := range g.tokens {
		t := &g.tokens[i]
		if t.Name != name {
			continue
		}
		if !hmac.Equal([]byte(t.sign(expiry)), []byte(value)) {
			return nil
		}
		if until, err := strconv.ParseInt(expiry, 10, 64); err != nil || g.now().Unix() >= until {
			return nil
		}
		return t
	}
	return nil
}

// begin gives a browser a session of that token.
func (g *Guard) begin(w http.ResponseWriter, t *Token) {
	setSession(w, t.sign(strconv.FormatInt(g.now().Add(sessionLife).Unix(), 10)), int(sessionLife/time.Second))
}

// setSession sets the cookie; less than no seconds clears it.
func setSession(w http.ResponseWriter, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: seconds,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// Pages lets those to h who are at least viewers, as Look does; a browser may
// have a session in place of a token. One that has neither is led to login, the
// path where Login is.
func (g *Guard) Pages(h http.Handler, login string) http.Handler {
	return g.look(h, func(w http.ResponseWriter, r *http.Request) *Token {
		if hasBearer(r) { // it counts, even if there is a session that may do more
			return g.byToken(w, r)
		}
		if t := g.session(r); t != nil {
			return t
		}
		if (r.Method == http.MethodGet || r.Method == http.MethodHead) && acceptsHTML(r) {
			lead(w, r, login+"?next="+url.QueryEscape(r.URL.RequestURI()))
			return nil
		}
		return g.byToken(w, r)
	})
}

// hasBearer says whether a token was sent, be it good or bad. Other schemes are
// no reason to look away from a session: a proxy may want a password of its own.
func hasBearer(r *http.Request) bool {
	for _, v := range r.Header.Values("Authorization") {
		if scheme, _, _ := strings.Cut(v, " "); strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}

// acceptsHTML says whether a request is for a page to be shown: scripts that
// take anything (*/*) are better off with a 401.
func acceptsHTML(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil || kind != "text/html" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return err != nil || q > 0 // without q it is wanted
	}
	return false
}

// Logout ends the session of the browser that posts to it, and leads it back to
// the pages. A copy of the cookie would still be good until it expires.
func (g *Guard) Logout() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed, "post to log out", "")
			return
		}
		if !g.admit(w, r) {
			return
		}
		setSession(w, "", -1)
		lead(w, r, home)
	})
}
