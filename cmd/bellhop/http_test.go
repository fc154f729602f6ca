package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// certificate writes one for 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, roots
}

// post sends a request with headers (name, value, …).
func post(ctx context.Context, c *http.Client, url, body string, header ...string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestHTTP rings over HTTPS on all addresses, with a token that the command line
// has made; and nobody rings there without one.
func TestHTTP(t *testing.T) {
	t.Parallel()
	cert, key, roots := certificate(t)
	command := exec.CommandContext(t.Context(), binary, "token", "new", "ci", "--scope", "ring:echo", "-s", "read")
	command.Env = environment(t)
	var secret strings.Builder
	command.Stderr = &secret
	line, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	token := "Bearer " + secret.String()[strings.Index(secret.String(), "bellhop_"):strings.LastIndexByte(secret.String(), '\n')]
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, line, 0o600); err != nil {
		t.Fatal(err)
	}
	env := environment(t, "BELLHOP_HTTP_ADDR=0.0.0.0:0", "BELLHOP_HTTP_TLS_CERT="+cert, "BELLHOP_HTTP_TLS_KEY="+key, "BELLHOP_SYNC=1s")
	p := start(t, append(env, "BELLHOP_HTTP_TOKENS="+file), "up")
	_, port, _ := net.SplitHostPort(p.await(t, `HTTP +https://(\S+) with`)[1])
	url := "https://127.0.0.1:" + port
	p.awaitError(t, `msg="worker started"`)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for _, tt := range []struct {
		path   string
		header []string
		status int
		want   string
	}{
		{"/services/echo", []string{"Authorization", token, "Prefer", "wait=30"}, 200, "hello"},
		{"/services/echo", []string{"Authorization", token, "Idempotency-Key", "1"}, 202, `"run":"http:echo=2Fci:1"`},
		{"/services/log-input", []string{"Authorization", token}, 403, "it needs the scope ring:log-input"},
		{"/services/echo", nil, 401, "a token is needed"},
		{"/services/echo", []string{"Authorization", token, "Sec-Fetch-Site", "cross-site"}, 403, "another origin"},
		{"/healthz", nil, 405, ""},
	} {
		status, answer, err := post(t.Context(), c, url+tt.path, "hello", tt.header...)
		if err != nil || status != tt.status || !strings.Contains(answer, tt.want) {
			t.Errorf("%s %v: %d %s %v", tt.path, tt.header, status, answer, err)
		}
	}
	p.Process.Signal(os.Interrupt)
	p.await(t, `bye: `)
	p.Wait()

	// Without tokens, only this machine.
	p = start(t, env, "up")
	_, port, _ = net.SplitHostPort(p.await(t, `HTTP +https://(\S+) with`)[1])
	p.await(t, `nobody is let in there: set BELLHOP_HTTP_TOKENS`)
	status, answer, err := post(t.Context(), c, "https://127.0.0.1:"+port+"/services/echo", "hello")
	if err != nil || status != 403 || !strings.Contains(answer, "BELLHOP_HTTP_TOKENS") {
		t.Errorf("%d %s %v", status, answer, err)
	}
}

// TestHTTPKilled has clients that repeat what nobody answers, while the process
// that they post to is killed again and again: every key comes to one run, and
// every run that was promised is there.
func TestHTTPKilled(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	env := environment(t, "BELLHOP_HTTP_ADDR="+address)
	p, url := upServerOf(t, env)
	const clients, each = 8, 40
	var posting sync.WaitGroup
	for i := range clients {
		posting.Go(func() {
			for n := range each {
				key := fmt.Sprintf("%d-%d", i, n)
				for {
					status, answer, err := post(t.Context(), http.DefaultClient, "http://"+address+"/services/echo", key, "Idempotency-Key", key)
					if err == nil && status == http.StatusAccepted {
						break
					}
					if err == nil && status != http.StatusServiceUnavailable {
						t.Errorf("%s: %d %s", key, status, answer)
						return
					}
					select {
					case <-time.After(50 * time.Millisecond): // nobody tells when it is there again
					case <-t.Context().Done():
						return
					}
				}
			}
		})
	}
	for range 3 {
		p.Process.Kill()
		p.Wait()
		p, url = upServerOf(t, env)
	}
	posting.Wait()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "bellhop-rings")
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for n := uint64(1); n <= s.CachedInfo().State.LastSeq; n++ {
		m, err := s.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		stored[m.Header.Get(workers.HeaderRun)]++
	}
	for i := range clients {
		for n := range each {
			if run := fmt.Sprintf("http:echo:%d-%d", i, n); stored[run] != 1 {
				t.Errorf("%s is stored %d times", run, stored[run])
			}
		}
	}
	if len(stored) != clients*each {
		t.Errorf("%d runs, want %d", len(stored), clients*each)
	}
}
