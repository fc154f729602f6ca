package workers

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// The metadata of a service that is found with `nats micro info`.
const (
	// MetaService is the service's own name: a micro service's has no dots.
	MetaService = "service"
	// MetaNamespace and MetaWorker say whose it is and who runs it.
	MetaNamespace = "namespace"
	MetaWorker    = "worker"
)

// callQueue is the queue group in which the fleet shares direct calls.
const callQueue = "workers"

// directory makes every service of a worker known as a micro service of its
// own, by NATS's protocol for them (ADR-32).
//
// The client library's micro.AddService is not used: it counts only what is done
// before its handler returns, and a run goes on after that; and it subscribes
// nine times for each service, each with a goroutine, where nine do for all.
type directory struct {
	w       *Worker
	id      string
	started time.Time
}

func newDirectory(w *Worker) *directory {
	return &directory{w: w, id: rand.Text(), started: time.Now().UTC()}
}

// subscribe answers questions about the services, until the subscriptions end.
func (d *directory) subscribe() ([]*nats.Subscription, error) {
	var all []*nats.Subscription
	for verb, answer := range map[micro.Verb]func(string, *handler) any{
		micro.PingVerb: d.ping, micro.InfoVerb: d.info, micro.StatsVerb: d.stats,
	} {
		for _, which := range []string{"", ".*", ".*.*"} { // of all, of a name, of a name and id
			s, err := d.w.nc.Subscribe(micro.APIPrefix+"."+verb.String()+which, func(m *nats.Msg) { d.tell(m, answer) })
			if err != nil {
				return all, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// tell answers for each service that is meant.
func (d *directory) tell(m *nats.Msg, answer func(string, *handler) any) {
	which := strings.Split(m.Subject, ".")[2:] // after $SRV and the verb
	if len(which) > 1 && which[1] != d.id || m.Reply == "" {
		return
	}
	for _, service := range d.w.names() {
		if len(which) > 0 && which[0] != microName(service) {
			continue
		}
		b, err := json.Marshal(answer(service, d.w.services[service]))
		if err == nil {
			err = d.w.nc.Publish(m.Reply, b)
		}
		if err != nil {
			d.w.log.Warn("question about a service not answered", "service", service, "error", err)
			return
		}
	}
}

func (d *directory) identity(service string, h *handler) micro.ServiceIdentity {
	return micro.ServiceIdentity{
		Name: microName(service), ID: d.id, Version: cmp.Or(h.Version, "0.0.0"),
		Metadata: map[string]string{
			MetaService: service, MetaNamespace: d.w.o.Namespace.String(), MetaWorker: d.w.o.Name,
		},
	}
}

func (d *directory) ping(service string, h *handler) any {
	return micro.Ping{ServiceIdentity: d.identity(service, h), Type: micro.PingResponseType}
}

func (d *directory) info(service string, h *handler) any {
	return micro.Info{
		ServiceIdentity: d.identity(service, h),
		Type:            micro.InfoResponseType,
		Description:     cmp.Or(h.Description, "Bellhop service "+service),
		Endpoints: []micro.EndpointInfo{{
			Name: callEndpoint, Subject: d.w.o.Namespace.CallSubject(service), QueueGroup: callQueue, Metadata: map[string]string{},
		}},
	}
}

// callEndpoint is how the one endpoint of each service is called.
const callEndpoint = "call"

func (d *directory) stats(service string, h *handler) any {
	e := h.figures.calls.stats()
	e.Name, e.Subject, e.QueueGroup = callEndpoint, d.w.o.Namespace.CallSubject(service), callQueue
	e.Data, _ = json.Marshal(Stats{ // numbers alone
		Runs: h.figures.byOutcome(), Running: h.figures.running.Load(), Waiting: h.figures.waiting.Load(),
	})
	return micro.Stats{
		ServiceIdentity: d.identity(service, h),
		Type:            micro.StatsResponseType,
		Started:         d.started,
		Endpoints:       []*micro.EndpointStats{e},
	}
}

// Stats is the data in a service's `nats micro stats`, beside what the protocol
// says of direct calls alone.
type Stats struct {
	// Runs are the attempts of this worker that ended, by outcome, whoever rang.
	Runs map[string]uint64 `json:"runs"`
	// Running is how many go on in this worker.
	Running int64 `json:"running"`
	// Waiting is how many triggers and rings nobody in the fleet has settled,
	// as this worker last heard.
	Waiting int64 `json:"waiting"`
}

// calls counts the direct calls of a service that were answered.
type calls struct {
	mu        sync.Mutex
	requests  int
	errors    int
	lastError string
	took      time.Duration
}

func (c *calls) add(took time.Duration, failure *CallError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.took += took
	if failure != nil {
		c.errors++
		c.lastError = fmt.Sprintf("%d:%s", failure.Code, oneLine(failure.Message, maxReason)) // as micro has it
	}
}

func (c *calls) stats() *micro.EndpointStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &micro.EndpointStats{
		NumRequests: c.requests, NumErrors: c.errors, LastError: c.lastError,
		ProcessingTime: c.took, AverageProcessingTime: c.took / time.Duration(max(c.requests, 1)),
	}
}

// microName is a service's name as a micro service may have it. Two services may
// share one; MetaService tells them apart.
func microName(service string) string { return strings.ReplaceAll(service, ".", "_") }

var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// checkVersion refuses what `nats micro` would not take for a version.
func (o *ServiceOptions) checkVersion() error {
	if o.Version != "" && !semver.MatchString(o.Version) {
		return errors.New("its version is not semver, like 1.2.3")
	}
	return nil
}
