package web

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// TestFront logs in at a front that rings nothing, as a browser does. The test
// carries the cookie: Go's jar, unlike browsers, sends a Secure one to no
// loopback address without TLS.
func TestFront(t *testing.T) {
	secret, token := made(t, "ann", "viewer")
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(token.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), config.Config{HTTPAddr: "127.0.0.1:0", HTTPTokens: file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- f.Serve(ctx, Site{Mux: http.NewServeMux(), Jobs: who}) }()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	send := func(method, path string, body io.Reader, header ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, f.URL()+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	first := send(http.MethodGet, "/ui/jobs", nil, "Accept", "text/html")
	if first.StatusCode != http.StatusSeeOther {
		t.Fatal(first.Status)
	}
	login := send(http.MethodPost, first.Header.Get("Location"), strings.NewReader("token="+secret), "Content-Type", "application/x-www-form-urlencoded", "Origin", f.URL())
	if login.StatusCode != http.StatusSeeOther || login.Header.Get("Location") != "/ui/jobs" || len(login.Cookies()) != 1 {
		t.Fatal(login.Status, login.Header)
	}
	c := login.Cookies()[0]
	if page := send(http.MethodGet, "/ui/jobs", nil, "Cookie", c.Name+"="+c.Value); page.StatusCode != http.StatusOK || page.Header.Get("Who") != "viewer ann" {
		t.Error(page.Status, page.Header)
	}
	for _, path := range []string{"/services/s", "/runs/x"} {
		if resp := send(http.MethodGet, path, nil, "Authorization", "Bearer "+secret); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
