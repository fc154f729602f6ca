package config

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// DefaultURL is where NATS is looked for when nothing else is said.
const DefaultURL = "nats://127.0.0.1:4222"

const (
	wantDuration  = "use a duration above zero, such as 10s, 5m or 72h"
	wantReplicas  = "use a whole number from 1 to 5"
	wantAddr      = "use HOST:PORT, such as 127.0.0.1:8080; port 0 takes a free one"
	wantURL       = "use nats://HOST:PORT (or tls, ws, wss), several with commas between"
	wantAlone     = "use one of BELLHOP_NATS_CREDS, BELLHOP_NATS_NKEY and BELLHOP_NATS_USER, not two"
	wantServer    = "the embedded server needs none; set BELLHOP_NATS_URL as well, or unset this"
	wantNamespace = "use 1 to 32 of A-Z a-z 0-9 _ -"
	wantContext   = "a context says all there is to say; unset the other BELLHOP_NATS_ variables, or this one"
)

// hidden stands for a value that is, or might be, a secret.
const hidden = "…"

// seed is what an nkey's seed looks like.
var seed = regexp.MustCompile(`^S[A-Z2-7]{57}$`)

// check refuses what can be read but cannot be right.
func (c Config) check() error {
	refuse := func(variable, value, want string) error {
		return &Error{Variable: Prefix + "_" + variable, Value: value, Want: want}
	}
	switch {
	case c.Data == "":
		return refuse("DATA", c.Data, "name a directory")
	case !isAddr(c.NATS.Addr):
		return refuse("NATS_ADDR", c.NATS.Addr, wantAddr)
	case c.HTTPAddr != "" && !isAddr(c.HTTPAddr):
		return refuse("HTTP_ADDR", c.HTTPAddr, wantAddr+"; empty switches HTTP off")
	case c.HTTPCert != "" && c.HTTPKey == "":
		return refuse("HTTP_TLS_CERT", c.HTTPCert, "set BELLHOP_HTTP_TLS_KEY as well")
	case c.HTTPCert == "" && c.HTTPKey != "":
		return refuse("HTTP_TLS_KEY", c.HTTPKey, "set BELLHOP_HTTP_TLS_CERT as well")
	case c.Replicas < 1 || c.Replicas > 5:
		return refuse("REPLICAS", strconv.Itoa(c.Replicas), wantReplicas)
	case c.Grace <= 0:
		return refuse("GRACE", c.Grace.String(), wantDuration)
	case c.Keep <= 0:
		return refuse("KEEP", c.Keep.String(), wantDuration)
	}
	if err := c.Namespace.Check(); err != nil {
		return refuse("NAMESPACE", string(c.Namespace), wantNamespace)
	}
	for server := range strings.SplitSeq(c.NATS.URL, ",") {
		if c.NATS.URL != "" && !isServer(strings.TrimSpace(server)) {
			return refuse("NATS_URL", redact(c.NATS.URL), wantURL)
		}
	}
	return c.NATS.check(refuse)
}

// check refuses combinations of which one part would be ignored.
func (n NATS) check(refuse func(variable, value, want string) error) error {
	switch {
	case seed.MatchString(n.NKey):
		return refuse("NATS_NKEY", hidden, "name a file that holds the seed, not the seed itself")
	case n.Creds != "" && n.NKey != "":
		return refuse("NATS_NKEY", n.NKey, wantAlone)
	case n.User != "" && n.Creds+n.NKey != "":
		return refuse("NATS_USER", n.User, wantAlone)
	case n.User == "" && n.PasswordFile != "":
		return refuse("NATS_PASSWORD_FILE", hidden, "set BELLHOP_NATS_USER as well")
	case n.TLS.Cert != "" && n.TLS.Key == "":
		return refuse("NATS_TLS_CERT", n.TLS.Cert, "set BELLHOP_NATS_TLS_KEY as well")
	case n.TLS.Cert == "" && n.TLS.Key != "":
		return refuse("NATS_TLS_KEY", n.TLS.Key, "set BELLHOP_NATS_TLS_CERT as well")
	case n.Context != "" && n.URL+n.Creds+n.NKey+n.User+n.TLS.CA+n.TLS.Cert != "":
		return refuse("NATS_CONTEXT", n.Context, wantContext)
	}
	return nil
}

// Outside says whether a NATS server is named at all, which for bellhop up
// means that it embeds none.
func (n NATS) Outside() bool { return n.URL != "" || n.Context != "" }

// CheckEmbedded refuses what would be ignored where Outside is false: whoever
// says how to connect means a server that is somewhere.
func (n NATS) CheckEmbedded() error {
	for variable, value := range map[string]string{
		"CREDS": n.Creds, "NKEY": n.NKey, "USER": n.User, "TLS_CA": n.TLS.CA, "TLS_CERT": n.TLS.Cert,
	} {
		if value != "" {
			return &Error{Variable: Prefix + "_NATS_" + variable, Value: value, Want: wantServer}
		}
	}
	return nil
}

// Servers is the URL to connect to.
func (n NATS) Servers() string {
	if n.URL == "" {
		return DefaultURL
	}
	return n.URL
}

// String says where NATS is, for people and logs: without any password.
func (n NATS) String() string {
	if n.Context != "" {
		return "context " + n.Context
	}
	return redact(n.Servers())
}

func isAddr(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isServer(s string) bool {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return false
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
		return true
	}
	return false
}

// redact hides what stands before an @. With several of them it hides all up to
// the last, hosts included: a password may hold a comma or an @ itself.
func redact(servers string) string {
	at := strings.LastIndexByte(servers, '@')
	if at < 0 {
		return servers
	}
	scheme, _, found := strings.Cut(servers, "://")
	if !found {
		return hidden + servers[at:]
	}
	return scheme + "://" + hidden + servers[at:]
}
