package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clear unsets every variable of ours for the length of a test.
func clear(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, Prefix+"_") {
			t.Setenv(name, "") // so that it comes back afterwards
			os.Unsetenv(name)
		}
	}
}

func TestDefaults(t *testing.T) {
	clear(t)
	got, err := Load(DefaultHTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		NATS:      NATS{Addr: "127.0.0.1:4222"},
		Data:      "./bellhop-data",
		HTTPAddr:  "127.0.0.1:8080",
		Namespace: "bellhop",
		Replicas:  1,
		Grace:     10 * time.Second,
		Keep:      72 * time.Hour,
		KeepBytes: 4 << 30,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.NATS.Outside() || got.NATS.Servers() != DefaultURL || got.Sync.String() != "always" {
		t.Errorf("servers %q, sync %v", got.NATS.Servers(), got.Sync)
	}
}

func TestEveryVariable(t *testing.T) {
	clear(t)
	for name, value := range map[string]string{
		"NATS_URL": "nats://a:1, tls://b:2", "NATS_ADDR": ":0", "NATS_CREDS": "c",
		"NATS_TLS_CA": "ca", "NATS_TLS_CERT": "cert", "NATS_TLS_KEY": "key",
		"DATA": "d", "SYNC": "250ms", "HTTP_ADDR": "", "HTTP_TOKENS": "t", "HTTP_TLS_CERT": "hc", "HTTP_TLS_KEY": "hk", "NAMESPACE": "n-1", "REPLICAS": "3",
		"GRACE": "1m", "KEEP": "1h", "KEEP_BYTES": "500MB", "HISTORY": "7", "HISTORY_AGE": "48h", "CHANNELS": "ch.yaml", "SERVICES": "s.yaml",
	} {
		t.Setenv("BELLHOP_"+name, value)
	}
	got, err := Load(DefaultHTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		NATS: NATS{
			URL: "nats://a:1, tls://b:2", Addr: ":0", Creds: "c",
			TLS: TLS{CA: "ca", Cert: "cert", Key: "key"},
		},
		HTTPTokens: "t", HTTPCert: "hc", HTTPKey: "hk",
		Data: "d", Sync: Sync(250 * time.Millisecond), Namespace: "n-1", Replicas: 3,
		Grace: time.Minute, Keep: time.Hour, KeepBytes: 500e6, History: 7, HistoryAge: Age(48 * time.Hour), Channels: "ch.yaml", Services: "s.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	const secret = "hunter2"
	const seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
	tests := []struct {
		name string
		env  []string // the first one is at fault
		want string   // part of the error, besides the variable
	}{
		{"sync word", []string{"SYNC=never"}, "always, or an interval"},
		{"sync zero", []string{"SYNC=0s"}, "always, or an interval"},
		{"size unit", []string{"KEEP_BYTES=4 bananas"}, "4GiB"},
		{"count zero", []string{"HISTORY=0"}, "from 1"},
		{"age too short", []string{"HISTORY_AGE=1ms"}, "at least 1s"},
		{"size zero", []string{"KEEP_BYTES=0"}, "4GiB"},
		{"size negative", []string{"KEEP_BYTES=-1GiB"}, "4GiB"},
		{"size overflow", []string{"KEEP_BYTES=9999999999TiB"}, "4GiB"},
		{"grace unit", []string{"GRACE=10"}, "such as 10s"},
		{"grace negative", []string{"GRACE=-1s"}, "such as 10s"},
		{"keep zero", []string{"KEEP=0s"}, "such as 10s"},
		{"replicas word", []string{"REPLICAS=three"}, "1 to 5"},
		{"replicas six", []string{"REPLICAS=6"}, "1 to 5"},
		{"replicas none", []string{"REPLICAS="}, "1 to 5"},
		{"namespace", []string{"NAMESPACE=a.b"}, "A-Z a-z 0-9"},
		{"data", []string{"DATA="}, "name a directory"},
		{"nats addr", []string{"NATS_ADDR=4222"}, "HOST:PORT"},
		{"http addr", []string{"HTTP_ADDR=localhost:http"}, "HOST:PORT"},
		{"http cert alone", []string{"HTTP_TLS_CERT=c"}, "BELLHOP_HTTP_TLS_KEY as well"},
		{"http key alone", []string{"HTTP_TLS_KEY=k"}, "BELLHOP_HTTP_TLS_CERT as well"},
		{"http port", []string{"HTTP_ADDR=localhost:70000"}, "HOST:PORT"},
		{"url scheme", []string{"NATS_URL=http://a:4222"}, "nats://HOST:PORT"},
		{"url empty part", []string{"NATS_URL=nats://a:4222,"}, "nats://HOST:PORT"},
		{"url with password", []string{"NATS_URL=http://u:" + secret + "@a:4222"}, "nats://HOST:PORT"},
		{"broken url with password", []string{"NATS_URL=nats://u:" + secret + "%zz@a:4222"}, "nats://HOST:PORT"},
		{"two ways in", []string{"NATS_NKEY=n", "NATS_CREDS=c"}, "not two"},
		{"two more", []string{"NATS_USER=u", "NATS_CREDS=c"}, "not two"},
		{"seed in place of its file", []string{"NATS_NKEY=" + seed}, "not the seed itself"},
		{"password without user", []string{"NATS_PASSWORD_FILE=" + secret}, "BELLHOP_NATS_USER"},
		{"certificate without key", []string{"NATS_TLS_CERT=c"}, "BELLHOP_NATS_TLS_KEY"},
		{"key without certificate", []string{"NATS_TLS_KEY=k"}, "BELLHOP_NATS_TLS_CERT"},
		{"context and url", []string{"NATS_CONTEXT=x", "NATS_URL=nats://a:4222"}, "unset"},
		{"slip", []string{"NATS_ADR=x"}, "did you mean BELLHOP_NATS_ADDR?"},
		{"swap", []string{"GRAEC=x"}, "did you mean BELLHOP_GRACE?"},
		{"plural", []string{"REPLICA=3"}, "did you mean BELLHOP_REPLICAS?"},
		{"left out", []string{"URL=nats://u:" + secret + "@a"}, "did you mean BELLHOP_NATS_URL?"},
		{"cut short", []string{"NATS_PASSWORD=" + secret}, "did you mean BELLHOP_NATS_PASSWORD_FILE?"},
		{"unheard of", []string{"FLUX_CAPACITOR=x"}, "-h shows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clear(t)
			for _, v := range tt.env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv("BELLHOP_"+name, value)
			}
			_, err := Load("")
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if name, _, _ := strings.Cut(tt.env[0], "="); e.Variable != "BELLHOP_"+name {
				t.Errorf("blames %s", e.Variable)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v: does not say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), seed) {
				t.Errorf("%v: shows a secret", err)
			}
		})
	}
}

func TestForeignVariables(t *testing.T) {
	clear(t)
	for _, name := range []string{
		"TEST_SLOW", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR",
		"NATS_SERVICE_HOST", "NATS_SERVICE_PORT", "NATS_PORT", "NATS_PORT_4222_TCP_PROTO", "WEB_SERVICE_PORT_HTTP",
	} {
		t.Setenv("BELLHOP_"+name, "tcp://10.0.0.1:80")
	}
	if _, err := Load(""); err != nil {
		t.Error(err)
	}
	for _, name := range variables() {
		if foreign.MatchString(name) {
			t.Errorf("%s would be taken for somebody else's", name)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := Table(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")[2:]
	for i, name := range variables() {
		if !strings.HasPrefix(lines[i], name+" ") || strings.HasSuffix(lines[i], name+" ") {
			t.Errorf("line %d is %q, want it to tell of %s", i, lines[i], name)
		}
	}
}

func TestStringHidesPasswords(t *testing.T) {
	for url, want := range map[string]string{
		"":                                 "nats://127.0.0.1:4222",
		"nats://a:1":                       "nats://a:1",
		"nats://me:pw@a:1,tls://token@b:2": "nats://…@b:2",
		"me:pw@a:1":                        "…@a:1",
		"nats://me:p@ss@a:1":               "nats://…@a:1",
		"nats://me:p,ss@a:1":               "nats://…@a:1",
	} {
		if got := (NATS{URL: url}).String(); got != want {
			t.Errorf("%q is shown as %q, want %q", url, got, want)
		}
	}
	if got := (NATS{Context: "prod"}).String(); got != "context prod" {
		t.Error(got)
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"4GiB", "1", "10 MB", "-1", "9223372036854775807B", "1e3", "KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var size Size
		if err := size.UnmarshalText([]byte(s)); err == nil && size <= 0 {
			t.Errorf("%q is %d bytes", s, size)
		}
	})
}

// TestReadme keeps the README's table the same as the one of -h.
func TestReadme(t *testing.T) {
	var b strings.Builder
	b.WriteString("| variable | default | |\n|---|---|---|\n")
	if err := render(&b, "{{range .}}| `{{.Key}}` | {{with shown .Tags}}{{.}} {{end}}| {{.Tags.Get \"desc\"}} |\n{{end}}"); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), b.String()) {
		t.Errorf("README.md should hold this table:\n%s", b.String())
	}
}
