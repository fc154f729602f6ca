package bridge

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/cmd/internal/yamlfile"
	"github.com/bellhop-run/bellhop/workers"
)

// What a run of a service that publishes may take where its definition does not
// say. It waits for a broker that is away; after all attempts, the better part of
// an hour later, it is a dead letter.
const (
	outConcurrency = 256
	outAttempts    = 20
	outTimeout     = time.Minute
	outBackoff     = time.Second
	outMaxBackoff  = 2 * time.Minute
)

// The bounds of numbers in a definition.
const (
	mostRuns     = 1000
	mostPrefetch = 4000
	mostReturns  = 1_000_000
	longestCall  = 15 * time.Minute
	longestRun   = 7 * 24 * time.Hour
	longestWait  = 24 * time.Hour
)

// amqp reads the section amqp: brokers by name.
func (r *reader) amqp(section yamlfile.Entry) error {
	brokers, err := section.Entries("brokers by name, each with its urls, in and out below it")
	if err != nil {
		return err
	}
	for _, e := range brokers {
		if err := r.broker(e); err != nil {
			return err
		}
	}
	return nil
}

// broker reads one broker, and what is done there.
func (r *reader) broker(of yamlfile.Entry) error {
	fields, err := of.Entries("urls, in and out below it")
	if err != nil {
		return err
	}
	b := amqp.Broker{Name: of.Name}
	topology := amqp.Passive
	var ins, outs yamlfile.Entry
	for _, e := range fields {
		var err error
		switch e.Name {
		case "urls":
			b.URLs, err = e.List("write a list of URLs, such as [amqp://rabbit.example:5672/]")
		case "credentials":
			b.Credentials, err = r.credentials(e)
		case "tls":
			b.TLS, err = r.tls(e)
		case "heartbeat":
			b.Heartbeat, err = e.Duration(time.Hour)
		case "topology":
			topology, err = readTopology(e)
		case "in":
			ins = e
		case "out":
			outs = e
		default:
			err = e.Refuse("", "there is no such field; there are urls, credentials, tls, heartbeat, topology, in, out")
		}
		if err != nil {
			return err
		}
	}
	if err := b.Check(); err != nil {
		return of.Refuse("", said(err))
	}
	if ins.Value == nil && outs.Value == nil {
		return of.Refuse("", "nothing is done there: say in, out or both")
	}
	return errors.Join(r.queues(b, topology, ins), r.publishers(b, topology, outs))
}

// said is an error of the package's without the words that every one has.
func said(err error) string { return strings.TrimPrefix(err.Error(), amqp.ErrConfig.Error()+": ") }

func readTopology(e yamlfile.Entry) (amqp.Topology, error) {
	text, err := e.Text()
	if err != nil {
		return "", err
	}
	switch t := amqp.Topology(text); t {
	case amqp.Passive, amqp.Declare, amqp.None:
		return t, nil
	}
	return "", e.Refuse(text, "use passive, declare or none")
}

// credentials names a file with user:password, which is read for each connection,
// so that a new password needs no restart.
func (r *reader) credentials(e yamlfile.Entry) (func() (string, string, error), error) {
	path, err := e.Text()
	if err != nil {
		return nil, err
	}
	path = yamlfile.Absolute(r.dir, path)
	read := func() (string, string, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", "", fmt.Errorf("read credentials: %w", err)
		}
		user, password, ok := strings.Cut(strings.TrimRight(string(text), "\r\n"), ":")
		if !ok || user == "" || strings.ContainsAny(password, "\r\n") {
			return "", "", fmt.Errorf("credentials in %s: write one line, user:password", path)
		}
		return user, password, nil
	}
	if _, _, err := read(); err != nil {
		return nil, e.Refuse("", err.Error())
	}
	return read, nil
}

// tls reads which certificates to trust, and to show.
func (r *reader) tls(of yamlfile.Entry) (*tls.Config, error) {
	fields, err := of.Entries("ca, cert, key or server_name below it")
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	files := map[string]string{}
	for _, e := range fields {
		text, err := e.Text()
		if err != nil {
			return nil, err
		}
		switch e.Name {
		case "server_name":
			c.ServerName = text
		case "ca", "cert", "key":
			files[e.Name] = yamlfile.Absolute(r.dir, text)
		default:
			return nil, e.Refuse("", "there is no such field; there are ca, cert, key, server_name")
		}
	}
	if path := files["ca"]; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, of.Refuse("", "ca: "+err.Error())
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, of.Refuse("", "ca: "+path+" holds no certificate in PEM")
		}
	}
	if (files["cert"] == "") != (files["key"] == "") {
		return nil, of.Refuse("", "cert and key go together: name both, or none")
	}
	if files["cert"] != "" {
		pair, err := tls.LoadX509KeyPair(files["cert"], files["key"])
		if err != nil {
			return nil, of.Refuse("", "cert and key: "+err.Error())
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

const inFields = "queue, service, service_from, strict, id_header, prefetch, timeout, attempts, call_timeout, hold, topology, dead_letter, delivery_limit, bind"

// queues reads the queues that ring.
func (r *reader) queues(b amqp.Broker, topology amqp.Topology, of yamlfile.Entry) error {
	if of.Value == nil {
		return nil
	}
	items, err := of.Items("a list of queues, such as [{queue: orders, service: billing}]")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, item := range items {
		o := amqp.InOptions{Topology: topology, Logger: r.log}
		fields, err := item.Entries("queue and service")
		if err != nil {
			return err
		}
		routed := false
		for _, e := range fields {
			if e.Name == "service_from" {
				routed = true
			}
			if err := readIn(&o, e); err != nil {
				return err
			}
		}
		switch {
		case o.Queue == "":
			return item.Refuse("", "name the queue: queue")
		case (o.Service == "") != routed:
			return item.Refuse("", "say what it rings, with one of service and service_from")
		case seen[o.Queue]:
			return item.Refuse("", "the queue is there already: a bridge more shares its messages")
		}
		seen[o.Queue] = true
		c, err := amqp.NewIn(b, o)
		if err != nil {
			return item.Refuse("", said(err))
		}
		r.plan.ins = append(r.plan.ins, in{c, c.Meter()})
	}
	return nil
}

// readIn takes in one field of a queue.
func readIn(o *amqp.InOptions, e yamlfile.Entry) (err error) {
	switch e.Name {
	case "queue":
		o.Queue, err = e.Line()
	case "service":
		o.Service, err = e.Text()
	case "service_from":
		o.ServiceHeader, err = source(e)
	case "strict":
		o.Strict, err = e.Bool()
	case "id_header":
		o.IDHeader, err = e.Line()
	case "prefetch":
		o.Prefetch, err = e.Number(1, mostPrefetch)
	case "timeout":
		var d time.Duration
		d, err = e.Duration(longestRun)
		o.Policy.Timeout = d.String()
	case "attempts":
		var n int
		n, err = e.Number(1, mostRuns)
		o.Policy.Retry = &workers.Retry{Attempts: n}
	case "call_timeout":
		o.CallTimeout, err = e.Duration(longestCall)
	case "hold":
		o.Hold, err = e.Duration(longestCall)
	case "topology":
		o.Topology, err = readTopology(e)
	case "dead_letter":
		o.DeadLetter, err = e.Line()
	case "delivery_limit":
		o.DeliveryLimit, err = e.Number(1, mostReturns)
	case "bind":
		o.Bind, err = bindings(e)
	default:
		err = e.Refuse("", "there is no such field; there are "+inFields)
	}
	return err
}

// source says which part of a message names the service; the routing key is no
// header.
func source(e yamlfile.Entry) (header string, err error) {
	text, err := e.Text()
	if err != nil || text == "routing_key" {
		return "", err
	}
	header, ok := strings.CutPrefix(text, "header:")
	if !ok || header == "" {
		return "", e.Refuse(text, "use routing_key, or header: and its name, such as header:service")
	}
	return header, nil
}

func bindings(of yamlfile.Entry) ([]amqp.Binding, error) {
	items, err := of.Items("a list of bindings, such as [{exchange: events, routing_key: order.*}]")
	if err != nil {
		return nil, err
	}
	var all []amqp.Binding
	for _, item := range items {
		fields, err := item.Entries("exchange and routing_key")
		if err != nil {
			return nil, err
		}
		var b amqp.Binding
		for _, e := range fields {
			switch e.Name {
			case "exchange":
				b.Exchange, err = e.Line()
			case "routing_key":
				b.RoutingKey, err = e.Line()
			default:
				err = e.Refuse("", "there is no such field; there are exchange, routing_key")
			}
			if err != nil {
				return nil, err
			}
		}
		if b.Exchange == "" {
			return nil, item.Refuse("", "name the exchange")
		}
		all = append(all, b)
	}
	return all, nil
}

const outFields = "exchange, type, routing_key, topology, description, concurrency, timeout, attempts, backoff, max_backoff"

// publishers reads the services that publish.
func (r *reader) publishers(b amqp.Broker, topology amqp.Topology, of yamlfile.Entry) error {
	if of.Value == nil {
		return nil
	}
	services, err := of.Entries("services by name, each with its exchange and routing_key below it")
	if err != nil {
		return err
	}
	for _, service := range services {
		if who := r.taken[service.Name]; who != "" {
			return service.Refuse("", who+": choose another name")
		}
		r.taken[service.Name] = "there is a service of that name already"
		o := amqp.OutOptions{Name: service.Name, Topology: topology, Logger: r.log}
		run := workers.ServiceOptions{Description: "Publishes to " + b.Name + " (AMQP)"}
		fields, err := service.Entries("exchange and routing_key")
		if err != nil {
			return err
		}
		for _, e := range fields {
			if err := readOut(&o, &run, e); err != nil {
				return err
			}
		}
		run.Concurrency, run.Attempts = cmp.Or(run.Concurrency, outConcurrency), cmp.Or(run.Attempts, outAttempts)
		run.Timeout, run.Backoff = cmp.Or(run.Timeout, outTimeout), cmp.Or(run.Backoff, outBackoff)
		run.MaxBackoff = max(cmp.Or(run.MaxBackoff, outMaxBackoff), run.Backoff)
		s, err := amqp.NewOut(b, o)
		if err != nil {
			return service.Refuse("", said(err))
		}
		r.plan.outs = append(r.plan.outs, out{s, service.Name, run})
	}
	return nil
}

// readOut takes in one field of a service that publishes.
func readOut(o *amqp.OutOptions, run *workers.ServiceOptions, e yamlfile.Entry) (err error) {
	switch e.Name {
	case "exchange":
		o.Exchange, err = e.Line()
	case "type":
		o.ExchangeType, err = e.Line()
	case "routing_key":
		o.RoutingKey, err = e.Line()
	case "topology":
		o.Topology, err = readTopology(e)
	case "description":
		run.Description, err = e.Line()
	case "concurrency":
		run.Concurrency, err = e.Number(1, mostRuns)
	case "timeout":
		run.Timeout, err = e.Duration(longestRun)
	case "attempts":
		run.Attempts, err = e.Number(1, mostRuns)
	case "backoff":
		run.Backoff, err = e.Duration(longestWait)
	case "max_backoff":
		run.MaxBackoff, err = e.Duration(longestWait)
	default:
		err = e.Refuse("", "there is no such field; there are "+outFields)
	}
	return err
}
