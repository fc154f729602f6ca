package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// ServiceStatus is what is known of a service from outside.
type ServiceStatus struct {
	Name string `json:"service"`
	// Jobs is how many jobs ring it: for whoever knows the jobs to say.
	Jobs int `json:"jobs"`
	// Workers is how many processes serve it.
	Workers int `json:"workers"`
	// Triggers and Rings are how many wait for a worker, Running how many were
	// given to one and have not ended.
	Triggers uint64 `json:"triggers_waiting"`
	Rings    uint64 `json:"rings_waiting"`
	Running  int    `json:"running"`
	// Versions and Description are what its workers say; more than one version
	// is there while a fleet is being renewed.
	Versions    []string `json:"versions,omitempty"`
	Description string   `json:"description,omitempty"`
}

// Stranded tells whether something waits that nobody will take.
func (s *ServiceStatus) Stranded() bool { return s.Workers == 0 && s.Triggers+s.Rings > 0 }

// Survey asks the workers and the streams for every service that one of them
// knows. What it finds before it fails is in all.
func Survey(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, ns Namespace, all map[string]*ServiceStatus) error {
	of := func(name string) *ServiceStatus {
		s := all[name]
		if s == nil {
			s = &ServiceStatus{Name: name}
			all[name] = s
		}
		return s
	}
	if err := surveyWorkers(ctx, nc, ns, of); err != nil {
		return err
	}
	backlogs, err := Backlogs(ctx, js, ns)
	if err != nil {
		return err
	}
	for name, b := range backlogs {
		s := of(name)
		s.Triggers, s.Rings, s.Running = b.Triggers, b.Rings, b.Running
	}
	return nil
}

// How long workers have to answer: the first, and each after the one before.
const (
	firstAnswer = time.Second
	nextAnswer  = 150 * time.Millisecond
)

// surveyWorkers asks every worker what it serves.
func surveyWorkers(ctx context.Context, nc *nats.Conn, ns Namespace, of func(string) *ServiceStatus) error {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask workers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	// Each service is a micro service of its own; whose it is, its metadata says.
	subject, err := micro.ControlSubject(micro.InfoVerb, "", "")
	if err != nil {
		return fmt.Errorf("ask workers: %w", err)
	}
	if err := nc.PublishRequest(subject, inbox, nil); err != nil {
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
		name := info.Metadata[MetaService]
		if CheckService(name) != nil || info.Metadata[MetaNamespace] != ns.String() {
			continue // somebody else's
		}
		s := of(name)
		s.Workers++
		s.Description = info.Description
		if !slices.Contains(s.Versions, info.Version) {
			s.Versions = append(s.Versions, info.Version)
			slices.Sort(s.Versions) // as text, only to be the same each time
		}
	}
}
