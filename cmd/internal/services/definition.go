package services

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"time"

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

	// URL is the endpoint, to which Header goes with every request.
	URL    string
	Header http.Header

	// Concurrency, Timeout and Attempts are the worker's options for this
	// service; zero means the default.
	Concurrency int
	Timeout     time.Duration
	Attempts    int
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
		return forward.New(d.URL, forward.Options{Header: d.Header, MaxOutput: r.maxOutput, Logger: r.log})
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

// options are a worker's that runs this service alone.
func (d *Definition) options(o workers.Options) workers.Options {
	o.Concurrency = cmp.Or(d.Concurrency, o.Concurrency)
	o.Timeout = cmp.Or(d.Timeout, o.Timeout)
	o.Attempts = cmp.Or(d.Attempts, o.Attempts)
	return o
}
