package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// Pages is where the dashboard is, in whatever the handler is mounted.
const Pages = "/ui"

//go:embed static
var static embed.FS

//go:embed pages
var pages embed.FS

// policy is the Content-Security-Policy of every page: nothing but our own files,
// and no script or style among what users wrote.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// page is what a template is given.
type page struct {
	Base   string // of all links: the prefix that a proxy serves this under
	Title  string
	Here   string // the page's path below Base, to mark it in the menu
	Query  string // as it was asked
	Caller Caller
	Login  bool   // there are sessions to end
	Run    string // the run whose events are followed, if one is
	Told   string // what was just done
	Wrong  *problem
	Now    time.Time
	Data   any
}

// May tells whether the caller has a role, by its name.
func (p *page) May(role string) bool {
	switch role {
	case "operator":
		return p.Caller.Role >= Operator
	case "admin":
		return p.Caller.Role >= Admin
	}
	return p.Caller.Role >= Viewer
}

// This is the address of the page, for a region to ask for itself.
func (p *page) This() string {
	if p.Query == "" {
		return p.Base + p.Here
	}
	return p.Base + p.Here + "?" + p.Query
}

// templates are the pages, each with the frame around it.
func templates() (map[string]*template.Template, error) {
	names, err := fs.Glob(pages, "pages/*.html")
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, n := range names {
		short := strings.TrimSuffix(strings.TrimPrefix(n, "pages/"), ".html")
		if short == "frame" {
			continue
		}
		t, err := template.New("frame.html").Funcs(words).ParseFS(pages, "pages/frame.html", n)
		if err != nil {
			return nil, err
		}
		all[short] = t
	}
	return all, nil
}

// words are the functions of the templates.
var words = template.FuncMap{
	"short":    short,
	"tone":     tone,
	"clock":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"unescape": jobName,
	"when":     when,
	"raw":      func(b []byte) string { return string(b) },
	"took":     func(r *workers.Run) string { return short(r.Duration()) },
	"late":     func(r *workers.Run) string { return short(r.Lateness()) },
}

// jobName is a job's key for people.
func jobName(key string) string {
	name, err := workers.Unescape(key)
	if err != nil {
		return key
	}
	return name
}

// when is a schedule in a few words.
func when(s scheduler.Schedule) string {
	text, err := s.Explain()
	if err != nil {
		return "cannot be read"
	}
	return text
}

// short writes a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// tone is the class of an outcome or a state.
func tone(s string) string {
	switch s {
	case workers.OutcomeOK, scheduler.StateActive, workers.RunRunning:
		return "good"
	case workers.OutcomeDead, workers.OutcomeFailed, workers.OutcomeTimeout, scheduler.ReasonInvalid:
		return "bad"
	case workers.OutcomeMissed, workers.OutcomeExpired, workers.OutcomeSkipped, workers.OutcomeCancelled, workers.RunWaiting:
		return "warn"
	}
	return "quiet"
}

// screen is a page of the dashboard: what it shows, or what is wrong.
type screen struct {
	path string
	name string // of its template
	what string // its title
	data func(r *http.Request, p *page) (any, error)
}

func (h *Handler) screens() []screen {
	return []screen{
		{"/{$}", "overview", "Overview", h.overview},
		{"/jobs", "jobs", "Jobs", h.jobsPage},
		{"/job", "job", "Job", h.jobPage},
		{"/new", "edit", "New job", h.newPage},
		{"/edit", "edit", "Edit", h.editPage},
		{"/runs", "runs", "Runs", h.runsPage},
		{"/run", "run", "Run", h.runPage},
		{"/timeline", "timeline", "Timeline", h.timelinePage},
		{"/dead", "dead", "Dead letters", h.deadPage},
		{"/letter", "letter", "Dead letter", h.letterPage},
		{"/services", "services", "Services", h.servicesPage},
		{"/channels", "channels", "Channels", h.channelsPage},
		{"/changes", "changes", "Changes", h.changesPage},
		{"/preview", "preview", "Preview", h.previewPage},
	}
}

// dress adds the dashboard to the routes.
func (h *Handler) dress() error {
	all, err := templates()
	if err != nil {
		return err
	}
	h.pages = all
	for _, s := range h.screens() {
		h.ui.HandleFunc("GET "+Pages+s.path, func(w http.ResponseWriter, r *http.Request) { h.show(w, r, s) })
	}
	h.ui.HandleFunc("GET "+Pages+"/events", h.route(route{role: Viewer, do: h.liveEvents}))
	h.ui.HandleFunc("POST "+Pages+"/do", h.act)
	files := http.StripPrefix(Pages, http.FileServerFS(static))
	h.ui.HandleFunc("GET "+Pages+"/static/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		files.ServeHTTP(w, r)
	})
	h.ui.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.show(w, r, screen{name: "wrong", what: "Not found", data: func(*http.Request, *page) (any, error) {
			return nil, &scheduler.Error{Code: http.StatusNotFound, Message: "there is no such page"}
		}})
	})
	return nil
}

// blank is a page before it has anything to show.
func (h *Handler) blank(r *http.Request, title string) *page {
	return &page{
		Base: h.o.Prefix(r), Title: title, Here: r.URL.Path, Query: r.URL.RawQuery, Caller: h.o.Caller(r), Login: h.o.Sessions, Now: time.Now(),
	}
}

// show renders a page. What cannot be shown says why.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, s screen) {
	p := h.blank(r, s.what)
	err := error(&scheduler.Error{Code: http.StatusForbidden, Message: "you may not look at this", Hint: "it takes the role viewer"})
	if p.Caller.Role >= Viewer {
		p.Told = r.URL.Query().Get("told")
		p.Data, err = s.data(r, p)
	}
	h.render(w, r, s.name, p, err)
}

func (h *Handler) render(w http.ResponseWriter, r *http.Request, name string, p *page, err error) {
	status := http.StatusOK
	if p.Wrong != nil {
		status = p.Wrong.Status
	}
	if err != nil {
		e := explain(err)
		status = e.Code
		p.Wrong = &problem{http.StatusText(e.Code), e.Code, e.Message, e.Field, e.Hint, e.Revision}
		name = "wrong"
		if status >= http.StatusInternalServerError && r.Context().Err() == nil {
			h.o.Logger.Warn("a page cannot be shown", "path", r.URL.Path, "error", err)
		}
	}
	var b bytes.Buffer
	if err := h.pages[name].Execute(&b, p); err != nil {
		h.o.Logger.Error("a page cannot be rendered", "page", name, "error", err)
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // whoever asked has gone
	}
}
