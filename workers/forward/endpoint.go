package forward

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// Options of an Endpoint; zero fields mean the defaults.
type Options struct {
	// Header goes with every request.
	Header http.Header
	// MaxOutput is how much of a response is kept, in bytes: 1 MiB. Where it is
	// no less than the server's max_payload, a direct call whose output was cut
	// is answered with an error, never with the part.
	MaxOutput int
	// Secrets sign the requests, each with a signature of its own, as Standard
	// Webhooks has it: whsec_ and 24 to 64 bytes in base64. None signs nothing.
	Secrets []string
	// Allow names addresses and networks outside of the Internet where requests
	// may go, such as 10.0.0.0/8. Without it a name that leads to a loopback, a
	// private or a link-local address is refused; an address that the URL itself
	// names, and localhost, are not. It means nothing with a Transport.
	Allow []string
	// Transport carries the requests: one without any proxy, which keeps
	// connections for the next ones.
	Transport http.RoundTripper
	// Logger is told when a response was cut: nobody.
	Logger *slog.Logger
}

// Endpoint is a service that posts each trigger to a URL.
type Endpoint struct {
	url    *url.URL
	name   string // of the URL, for people
	o      Options
	client http.Client
	keys   [][]byte
}

// New makes a service of an HTTP endpoint. It fails when there cannot be one at
// the URL, or a header cannot be sent.
func New(rawURL string, o Options) (*Endpoint, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be read") // its error may hold a password
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL's scheme is %q: use http or https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the URL names no host")
	}
	if err := checkHeader(o.Header); err != nil {
		return nil, err
	}
	keys, err := parseSecrets(o.Secrets)
	if err != nil {
		return nil, err
	}
	allowed, err := newTargets(u.Hostname(), o.Allow)
	if err != nil {
		return nil, err
	}
	o.MaxOutput = max(cmp.Or(o.MaxOutput, 1<<20), 1)
	if o.Transport == nil {
		o.Transport = newTransport(allowed)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Endpoint{url: u, name: u.Scheme + "://" + u.Host + u.EscapedPath(), o: o, keys: keys}
	e.client = http.Client{Transport: o.Transport, CheckRedirect: e.redirect}
	return e, nil
}

// newTransport has a connection for each run that is under way.
func newTransport(allowed *targets) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = allowed.dial
	t.Proxy = nil
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	t.DisableCompression = true // the output is what the endpoint sent
	return t
}

// maxRedirects is how many redirects are followed.
const maxRedirects = 5

// redirect stops at what would lose the payload or take it somewhere else; the
// response is then the redirect itself, which is an error like any other.
func (e *Endpoint) redirect(next *http.Request, before []*http.Request) error {
	same := next.URL.Scheme == e.url.Scheme && next.URL.Host == e.url.Host
	if next.Method != http.MethodPost || !same || len(before) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Serve posts the trigger.
func (e *Endpoint) Serve(ctx context.Context, t *workers.Trigger) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(t.Payload))
	if err != nil {
		return nil, workers.Permanent(fmt.Errorf("post to %s: %w", e.name, plain(err)))
	}
	req.Header = e.header(t)
	sign(req.Header, e.keys, t.Run, time.Now(), t.Payload)
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("post to %s: %w", e.name, plain(err))
	}
	defer func() { _ = resp.Body.Close() }() // with its error nothing is lost
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, e.refusal(resp)
	}
	out, err := io.ReadAll(io.LimitReader(resp.Body, int64(e.o.MaxOutput)+1))
	if err != nil {
		return nil, fmt.Errorf("post to %s: read the response: %w", e.name, err)
	}
	if len(out) > e.o.MaxOutput {
		e.o.Logger.Warn("response was cut", "service", t.Service, "run", t.Run, "kept", e.o.MaxOutput)
		out = out[:e.o.MaxOutput]
	}
	return out, nil
}

// header is all that a request says beside its body.
func (e *Endpoint) header(t *workers.Trigger) http.Header {
	h := http.Header{"User-Agent": {"Bellhop/" + workers.Version}, "Content-Type": {"application/octet-stream"}}
	for _, name := range []string{"Content-Type", "Traceparent", "Tracestate"} {
		if v := passedOn(t, name); v != "" {
			h.Set(name, v)
		}
	}
	maps.Copy(h, e.o.Header)
	set := func(name, value string) {
		h.Del(name)
		if value != "" {
			h.Set(name, value)
		}
	}
	set(workers.HeaderRun, t.Run)
	set("Idempotency-Key", t.Run)
	set(workers.HeaderJob, t.Job)
	set(workers.HeaderChannel, t.Channel)
	set(workers.HeaderDue, "")
	if !t.Due.IsZero() {
		set(workers.HeaderDue, t.Due.Format(workers.DueLayout))
	}
	return h
}

// maxPassed bounds a header that is passed on, in bytes.
const maxPassed = 1 << 10

// passedOn is a header that came with the trigger, in whatever case, if it can
// be sent.
func passedOn(t *workers.Trigger, name string) string {
	for n, values := range t.Header {
		if strings.EqualFold(n, name) && len(values) > 0 && len(values[0]) <= maxPassed && sendable(values[0]) {
			return values[0]
		}
	}
	return ""
}

// maxShown is how much of a refusal's body is shown, in bytes.
const maxShown = 512

// refusal makes an error of a response that is not a success.
func (e *Endpoint) refusal(resp *http.Response) error {
	text := fmt.Sprintf("%s answers %s", e.name, resp.Status)
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		text += fmt.Sprintf(", a redirect to %s://%s that is not followed", to.Scheme, to.Host)
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		text += ", retry after " + after[:min(len(after), 40)]
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxShown)) // what there is of it
	if shown := strings.TrimSpace(strings.ToValidUTF8(string(body), "")); shown != "" {
		text += ": " + shown
	}
	err := errors.New(text)
	if after, ok := RetryAfter(resp); ok {
		return workers.RetryAfter(err, after)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return err
	}
	if resp.StatusCode/100 == 4 {
		return workers.Permanent(err)
	}
	return err
}

// plain takes the URL out of an error: its query may hold a key.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
