package web

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// longestPath bounds what of a request is led back to it: a header that no proxy
// takes would be no help.
const longestPath = 2048

// Prefix is the path under which a proxy serves all this, as its
// X-Forwarded-Prefix says: /bellhop, without a slash at the end. It is to stand
// before every path in links and redirects. Empty without a proxy, and where the
// header is not a clean absolute path.
func Prefix(r *http.Request) string {
	all := r.Header.Values("X-Forwarded-Prefix")
	if len(all) != 1 {
		return ""
	}
	p := strings.TrimSuffix(all[0], "/")
	if len(p) > longestPath || !strings.HasPrefix(p, "/") || p == "/" || path.Clean(p) != p || strings.Contains(p, "..") || strings.ContainsFunc(p, notInPrefix) {
		return ""
	}
	return p
}

func notInPrefix(c rune) bool {
	switch {
	case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune("_./-", c)
}

// home is where somebody goes who has not said where to.
const home = "/ui/"

// next is where a request says that it wants to go after the login, without
// Prefix. What is not surely a path of this origin is home: browsers take //host
// and /\host for another host, and leave out line ends and tabs before they look.
func next(r *http.Request) string {
	to := r.URL.Query().Get("next")
	if !isPath(to) {
		return home
	}
	return to
}

func isPath(s string) bool {
	if len(s) > longestPath || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return false
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// lead sends a browser to a path of this origin, to be asked for with GET.
func lead(w http.ResponseWriter, r *http.Request, to string) {
	harden(w)
	// Not http.Redirect, which cleans paths: two slashes may belong to a name.
	w.Header().Set("Location", Prefix(r)+to)
	w.WriteHeader(http.StatusSeeOther)
}
