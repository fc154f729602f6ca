package config

import (
	"strings"

	"github.com/bellhop-run/bellhop/workers"
)

// Override is what a command line may say of the connection in place of the
// environment; empty fields leave it as it is.
type Override struct {
	// Server is a URL, or several with commas between.
	Server string
	// Context is a context of the nats command; it says all there is to say of
	// the connection.
	Context string
	// Namespace is whose jobs and services are meant.
	Namespace string
}

// With gives the configuration as the command line would have it.
func (c Config) With(o Override) (Config, error) {
	if o.Server != "" && o.Context != "" {
		return c, &Error{Variable: "--context", Value: o.Context, Want: "a context names its server itself: leave out --server, or this"}
	}
	if o.Context != "" {
		c.NATS = NATS{Addr: c.NATS.Addr, Context: o.Context}
	}
	if o.Server != "" {
		for server := range strings.SplitSeq(o.Server, ",") {
			if !isServer(strings.TrimSpace(server)) {
				return c, &Error{Variable: "--server", Value: redact(o.Server), Want: wantURL}
			}
		}
		c.NATS.URL, c.NATS.Context = o.Server, ""
	}
	if o.Namespace != "" {
		c.Namespace = workers.Namespace(o.Namespace)
		if c.Namespace.Check() != nil {
			return c, &Error{Variable: "--namespace", Value: o.Namespace, Want: wantNamespace}
		}
	}
	return c, nil
}
