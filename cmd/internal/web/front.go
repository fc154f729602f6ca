package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// Front is the address of a process that serves more than how it is: services to
// be rung, runs, pages.
type Front struct {
	listener net.Listener
	guard    *Guard
	scheme   string
}

// Open takes the address that the configuration names, with its tokens and its
// certificate; nil where it names none.
func Open(ctx context.Context, c config.Config) (*Front, error) {
	if c.HTTPAddr == "" {
		return nil, nil
	}
	tokens, err := LoadTokens(c.HTTPTokens)
	if err != nil {
		return nil, err
	}
	l, err := Listen(ctx, c.HTTPAddr)
	if err != nil {
		return nil, err
	}
	f := &Front{guard: NewGuard(tokens, l.Addr()), scheme: "http"}
	if c.HTTPCert != "" {
		f.scheme = "https"
	}
	if f.listener, err = secure(l, c.HTTPCert, c.HTTPKey); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return f, nil
}

// HasTokens says whether who comes must show one.
func (f *Front) HasTokens() bool { return len(f.guard.tokens) > 0 }

// URL is where it is.
func (f *Front) URL() string { return f.scheme + "://" + f.listener.Addr().String() }

// Shut says that no services are rung there, as ShutHint explains.
func (f *Front) Shut() bool { return f.guard.shut }

// Site is what a Front serves; all but Mux may be missing.
type Site struct {
	// Mux has what everybody may see.
	Mux *http.ServeMux
	// Rings has the services that can be rung, at /services/, and their runs, at
	// /runs/.
	Rings http.Handler
	// Jobs has the jobs, for programs at /api/v1/ and for people at /ui/.
	Jobs http.Handler
}

// login is where browsers begin a session.
const login = "/login"

// Serve answers until ctx is done, each part for those who may.
func (f *Front) Serve(ctx context.Context, s Site) error {
	if s.Rings != nil {
		s.Mux.Handle("/services/", f.guard.Ring(s.Rings))
		s.Mux.Handle("/runs/", f.guard.Read(s.Rings))
	}
	if s.Jobs == nil {
		return Serve(ctx, f.listener, s.Mux)
	}
	s.Mux.Handle(login, f.guard.Login())
	s.Mux.Handle("/logout", f.guard.Logout())
	s.Mux.Handle("/ui/static/", s.Jobs) // the login page has its style from there
	look, pages := f.guard.Look(s.Jobs), f.guard.Pages(s.Jobs, login)
	return Serve(ctx, f.listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/api/v1/"):
			look.ServeHTTP(w, r) // a mux would take slashes and dots in a job's name for its own
		case path == "/" || path == "/ui":
			http.Redirect(w, r, Prefix(r)+"/ui/", http.StatusSeeOther)
		case strings.HasPrefix(path, "/ui/") && !strings.HasPrefix(path, "/ui/static/"):
			pages.ServeHTTP(w, r)
		default:
			s.Mux.ServeHTTP(w, r)
		}
	}))
}

// Close gives the address back, unless Serve has.
func (f *Front) Close() error {
	if err := f.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
