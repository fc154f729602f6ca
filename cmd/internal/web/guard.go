package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// Guard decides who may do what. With tokens, a request needs one whose scopes
// are enough (RFC 6750), or to Pages a session that one began. Without any,
// whoever reaches the address may do everything if it is a loopback one, and
// nothing if it is not; and the request must be for such a host, else a page on
// the web could have its name resolved to here. In either case a browser is
// refused that comes from the page of another origin.
type Guard struct {
	tokens   []Token
	shut     bool
	cross    *http.CrossOriginProtection
	failures failures
	now      func() time.Time
}

// NewGuard makes a guard for what listens on addr.
func NewGuard(tokens []Token, addr net.Addr) *Guard {
	return &Guard{
		tokens: tokens,
		shut:   len(tokens) == 0 && !isLoopback(addr),
		cross:  http.NewCrossOriginProtection(),
		now:    time.Now,
	}
}

// ShutHint says what to do about that.
const ShutHint = "set " + config.Prefix + "_HTTP_TOKENS (bellhop token new makes one), or listen on 127.0.0.1"

func isLoopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// caller is who has sent a request that was let in.
type caller struct {
	name string
	role Role
}

type callerKey struct{}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// Caller is the name of the token that a request came with, empty without tokens.
func Caller(r *http.Request) string { return callerOf(r).name }

// RoleOf is the role of the token or the session that a request came with; Admin
// where there are no tokens, and NoRole for what has not come through a Guard.
func RoleOf(r *http.Request) Role { return callerOf(r).role }

// Ring lets those to h who may ring the service that the path names last.
func (g *Guard) Ring(h http.Handler) http.Handler {
	return g.wrap(h, g.byToken, func(scope string, r *http.Request) bool {
		return mayRing(scope, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	}, func(r *http.Request) string {
		return "ring:" + r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	})
}

// Read lets those to h who may look at runs.
func (g *Guard) Read(h http.Handler) http.Handler {
	return g.wrap(h, g.byToken, func(scope string, _ *http.Request) bool {
		return scope == "read" || roleOf(scope) >= Viewer
	}, func(*http.Request) string { return "read" })
}

// Look lets those to h who are at least viewers. Who of them may do what, h
// decides, with RoleOf.
func (g *Guard) Look(h http.Handler) http.Handler { return g.look(h, g.byToken) }

func (g *Guard) look(h http.Handler, who know) http.Handler {
	return g.wrap(h, who, func(scope string, _ *http.Request) bool {
		return roleOf(scope) >= Viewer
	}, func(*http.Request) string { return Viewer.String() })
}

// know finds the token of a request; where it finds none, it has answered.
type know func(http.ResponseWriter, *http.Request) *Token

func (g *Guard) wrap(h http.Handler, who know, enough func(scope string, r *http.Request) bool, needs func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.admit(w, r) {
			return
		}
		if len(g.tokens) == 0 {
			h.ServeHTTP(w, from(r, caller{role: Admin}))
			return
		}
		t := who(w, r)
		if t == nil {
			return
		}
		for _, scope := range t.Scopes {
			if enough(scope, r) {
				h.ServeHTTP(w, from(r, caller{t.Name, t.role()}))
				return
			}
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="bellhop", error="insufficient_scope"`)
		refuse(w, http.StatusForbidden, fmt.Sprintf("the token %s may not do this", t.Name), fmt.Sprintf("it needs the scope %.140s", needs(r)))
	})
}

func from(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// admit looks at what does not depend on who comes. Where it says no, it has
// answered.
func (g *Guard) admit(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case g.cross.Check(r) != nil:
		refuse(w, http.StatusForbidden, "a page of another origin may not do this", "")
	case g.shut:
		refuse(w, http.StatusForbidden, "anybody could come here, and there are no tokens: nobody is let in", ShutHint)
	case len(g.tokens) == 0 && !isLocal(r.Host):
		refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("the host %.100q is not this machine's own", r.Host), "without tokens, ask for localhost or 127.0.0.1")
	default:
		return true
	}
	return false
}

// byToken knows who comes by the bearer token alone.
func (g *Guard) byToken(w http.ResponseWriter, r *http.Request) *Token {
	secret, ok := bearer(r)
	t := find(g.tokens, secret)
	if !ok || t == nil {
		w.Header().Set("WWW-Authenticate", challenge)
		refuse(w, http.StatusUnauthorized, "a token is needed", "send it as Authorization: Bearer TOKEN; bellhop token new makes one")
		return nil
	}
	return t
}

// challenge goes with every 401.
const challenge = `Bearer realm="bellhop"`

// bearer reads the token of a request.
func bearer(r *http.Request) (secret string, ok bool) {
	all := r.Header.Values("Authorization")
	if len(all) != 1 {
		return "", false
	}
	scheme, secret, ok := strings.Cut(all[0], " ")
	secret = strings.TrimSpace(secret)
	return secret, ok && strings.EqualFold(scheme, "Bearer") && secret != ""
}

// isLocal says whether the host of a request is a name of this machine alone.
func isLocal(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if name == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// refuse answers with a problem document (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail, hint string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // whoever asked has gone
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Hint   string `json:"hint,omitempty"`
	}{http.StatusText(status), status, detail, hint})
}
