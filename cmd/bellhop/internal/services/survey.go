package services

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// Service is what is known of a service from outside.
type Service = workers.ServiceStatus

var kind = output.Kind[*Service]{
	Columns: []output.Column[*Service]{
		{Title: "SERVICE", Text: func(s *Service) string { return s.Name }},
		{Title: "JOBS", Text: func(s *Service) string { return strconv.Itoa(s.Jobs) }},
		{Title: "WORKERS", Text: func(s *Service) string { return strconv.Itoa(s.Workers) }},
		{Title: "TRIGGERS", Text: func(s *Service) string { return waiting(s.Triggers) }},
		{Title: "RINGS", Text: func(s *Service) string { return waiting(s.Rings) }},
		{Title: "RUNNING", Text: func(s *Service) string { return strconv.Itoa(s.Running) }},
		{Title: "NOTE", Text: note},
		{Title: "VERSION", Wide: true, Text: func(s *Service) string { return strings.Join(s.Versions, ", ") }},
		{Title: "DESCRIPTION", Wide: true, Text: func(s *Service) string { return s.Description }},
	},
	Name: func(s *Service) string { return s.Name },
	JSON: func(s *Service) ([]byte, error) { return json.Marshal(s) },
}

func waiting(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d waiting", n)
}

func note(s *Service) string {
	switch {
	case s.Stranded():
		return "no worker: start one that serves it"
	case s.Workers == 0:
		return "no worker"
	}
	return ""
}

// Survey asks the scheduler, the workers and the streams for every service
// that one of them knows.
func Survey(ctx context.Context, link *session.Link) ([]*Service, error) {
	all := make(survey)
	for j, err := range link.Jobs.List(ctx, scheduler.Filter{Limit: scheduler.MaxListLimit}) {
		if err != nil {
			return nil, err
		}
		if j.Service != "" {
			all.of(j.Service).Jobs++
		}
	}
	return all.finish(ctx, link)
}

// Queues is Survey without the scheduler: nothing is known of jobs.
func Queues(ctx context.Context, link *session.Link) ([]*Service, error) {
	return make(survey).finish(ctx, link)
}

// Known gives the names of services that are quickly found: those that have
// workers or something in a stream, and those of the first page of jobs. What
// cannot be asked is left out.
func Known(ctx context.Context, link *session.Link) []string {
	all := make(survey)
	n := 0
	for j, err := range link.Jobs.List(ctx, scheduler.Filter{Limit: scheduler.MaxListLimit}) {
		if err != nil || n == scheduler.MaxListLimit {
			break
		}
		all.of(j.Service)
		n++
	}
	_, _ = all.finish(ctx, link) // what was found before it failed is in all
	delete(all, "")
	return slices.Sorted(maps.Keys(all))
}

type survey map[string]*Service

func (v survey) of(name string) *Service {
	s := v[name]
	if s == nil {
		s = &Service{Name: name}
		v[name] = s
	}
	return s
}

func (v survey) finish(ctx context.Context, link *session.Link) ([]*Service, error) {
	if err := workers.Survey(ctx, link.NC, link.JS, link.Namespace, v); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(v), func(a, b *Service) int { return strings.Compare(a.Name, b.Name) }), nil
}
