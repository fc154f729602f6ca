package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// Service is what is known of a service from outside.
type Service struct {
	Name string `json:"service"`
	// Jobs is how many jobs ring it, Workers how many processes serve it.
	Jobs    int `json:"jobs"`
	Workers int `json:"workers"`
	// Triggers and Rings are how many wait for a worker, Running how many were
	// given to one and have not ended.
	Triggers uint64 `json:"triggers_waiting"`
	Rings    uint64 `json:"rings_waiting"`
	Running  int    `json:"running"`
}

// Stranded tells whether something waits that nobody will take.
func (s *Service) Stranded() bool { return s.Workers == 0 && s.Triggers+s.Rings > 0 }

var kind = output.Kind[*Service]{
	Columns: []output.Column[*Service]{
		{Title: "SERVICE", Text: func(s *Service) string { return s.Name }},
		{Title: "JOBS", Text: func(s *Service) string { return strconv.Itoa(s.Jobs) }},
		{Title: "WORKERS", Text: func(s *Service) string { return strconv.Itoa(s.Workers) }},
		{Title: "TRIGGERS", Text: func(s *Service) string { return waiting(s.Triggers) }},
		{Title: "RINGS", Text: func(s *Service) string { return waiting(s.Rings) }},
		{Title: "RUNNING", Text: func(s *Service) string { return strconv.Itoa(s.Running) }},
		{Title: "NOTE", Text: note},
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
	if err := v.workers(ctx, link); err != nil {
		return nil, err
	}
	ns := link.Namespace
	err := errors.Join(
		v.queue(ctx, link.JS, ns.TriggersStream(), ns.TriggerSubject(""),
			func(s *Service, n uint64) { s.Triggers += n }),
		v.queue(ctx, link.JS, ns.RingsStream(), ns.RingSubject("*", ""),
			func(s *Service, n uint64) { s.Rings += n }))
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(v), func(a, b *Service) int { return strings.Compare(a.Name, b.Name) }), nil
}

// How long workers have to answer: the first, and each after the one before.
const (
	firstAnswer = time.Second
	nextAnswer  = 150 * time.Millisecond
)

// workers asks every worker what it serves.
func (v survey) workers(ctx context.Context, link *session.Link) error {
	inbox := link.NC.NewRespInbox()
	sub, err := link.NC.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask workers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	subject, err := micro.ControlSubject(micro.InfoVerb, link.Namespace.String()+"-worker", "")
	if err != nil {
		return fmt.Errorf("ask workers: %w", err)
	}
	if err := link.NC.PublishRequest(subject, inbox, nil); err != nil {
		return fmt.Errorf("ask workers: %w", err)
	}
	for wait := firstAnswer; ; wait = nextAnswer {
		within, cancel := context.WithTimeout(ctx, wait)
		m, err := sub.NextMsgWithContext(within)
		cancel()
		if errors.Is(err, nats.ErrNoResponders) || err != nil && ctx.Err() == nil && within.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask workers: %w", err)
		}
		var info micro.Info
		if json.Unmarshal(m.Data, &info) != nil {
			continue
		}
		for _, e := range info.Endpoints {
			if name := e.Metadata["service"]; name != "" {
				v.of(name).Workers++
			}
		}
	}
}

// queue counts what waits in a stream: what a service's consumer has not been
// given yet or, where no worker has ever made one, all that is there.
func (v survey) queue(ctx context.Context, js jetstream.JetStream, stream, before string, count func(*Service, uint64)) error {
	s, err := js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // nothing was set up: nothing waits
	}
	if err != nil {
		return fmt.Errorf("find stream %s: %w", stream, err)
	}
	known := make(map[string]bool)
	consumers := s.ListConsumers(ctx)
	for c := range consumers.Info() {
		name, err := workers.Unescape(c.Config.Durable)
		if err != nil || c.Config.FilterSubject != before+name {
			continue // somebody else's
		}
		known[name] = true
		service := v.of(name)
		service.Running += c.NumAckPending
		count(service, c.NumPending)
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", stream, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(before+">"))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	depth := strings.Count(before, ".")
	for subject, n := range info.State.Subjects {
		parts := strings.SplitN(subject, ".", depth+1)
		if name := parts[len(parts)-1]; !known[name] {
			count(v.of(name), n)
		}
	}
	return nil
}
