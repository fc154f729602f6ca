package services

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
	"github.com/bellhop-run/bellhop/workers/forward"
)

// Definition is a service that is a program or an HTTP endpoint; exactly one of
// Command and URL is there.
type Definition struct {
	Name string

	// Command is the program and its arguments; Dir and Env (name=value) are its
	// own.
	Command []string
	Dir     string
	Env     []string

	// URL is the endpoint, to which Header goes with every request. Secrets sign
	// it, and Allow opens networks for it: see forward.Options.
	URL     string
	Header  http.Header
	Secrets []string
	Allow   []string

	// ServiceOptions are the worker's for this service; a zero one is the
	// default.
	workers.ServiceOptions
}

// runtime is what every service of a process shares.
type runtime struct {
	env       []string // that programs inherit
	maxOutput int
	log       *slog.Logger
}

// service makes the service; it fails when there is no such program, or cannot
// be such an endpoint.
func (d *Definition) service(r runtime) (workers.Service, error) {
	if d.URL != "" {
		return forward.New(d.URL, forward.Options{Header: d.Header, Secrets: d.Secrets, Allow: d.Allow, MaxOutput: r.maxOutput, Logger: r.log})
	}
	return command.New(d.Command, command.Options{
		Dir: d.Dir, Env: slices.Concat(r.env, d.Env), MaxOutput: r.maxOutput, Logger: r.log,
	})
}

// Check says what is wrong with the definition, without running anything.
func (d *Definition) Check() error {
	if err := workers.CheckService(d.Name); err != nil {
		return err
	}
	_, err := d.service(runtime{})
	return err
}
