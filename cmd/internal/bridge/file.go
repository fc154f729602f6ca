// Package bridge runs the channels that the file BELLHOP_CHANNELS defines: any
// number of them, of any kind, in one process.
//
//	amqp:                          # brokers, by the names that run ids have
//	  orders:
//	    urls: [amqps://rabbit-1.example:5671/shop, amqps://rabbit-2.example:5671/shop]
//	    credentials: rabbit.txt    # user:password
//	    in:
//	      - {queue: orders, service: billing}
//	    out:
//	      shipped: {exchange: events, routing_key: shipped}
package bridge

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/cmd/internal/yamlfile"
	"github.com/bellhop-run/bellhop/workers"
)

// Plan is what a file defines.
type Plan struct {
	ins  []in
	outs []out
}

// in is a channel that rings.
type in struct {
	channels.Channel
	meter *channels.Meter
}

// out is a service that hands on to the outside.
type out struct {
	*amqp.Out
	name    string
	options workers.ServiceOptions
}

// Load reads the file that BELLHOP_CHANNELS names; no name means no channels. log
// is the channels' own. The services in taken are run by others in this process.
// The error is a *config.Error that tells the line.
func Load(path string, log *slog.Logger, taken ...string) (*Plan, error) {
	p := &Plan{}
	err := yamlfile.Load("CHANNELS", path, func(text []byte, dir string) error {
		return p.parse(text, dir, log, taken)
	})
	return p, err
}

// Services are the names of those that hand on to the outside.
func (p *Plan) Services() []string {
	var all []string
	for _, o := range p.outs {
		all = append(all, o.name)
	}
	return all
}

// reader reads one kind of channel.
type reader struct {
	plan  *Plan
	dir   string // from which paths count
	log   *slog.Logger
	taken map[string]string // services, and who runs them
}

// parse reads definitions: a section for each kind of channel.
func (p *Plan) parse(text []byte, dir string, log *slog.Logger, taken []string) error {
	r := &reader{p, dir, log, map[string]string{}}
	for _, service := range taken {
		r.taken[service] = "this process runs a service of that name already"
	}
	kinds := map[string]func(section yamlfile.Entry) error{
		"amqp": r.amqp,
	}
	all, err := yamlfile.Parse(text, "kinds of channels, each with its definitions below it")
	if err != nil {
		return err
	}
	for _, section := range all {
		read := kinds[section.Name]
		if read == nil {
			return section.Refuse("", fmt.Sprintf("there is no such kind of channel; there are %q", slices.Sorted(maps.Keys(kinds))))
		}
		if err := read(section); err != nil {
			return err
		}
	}
	return nil
}
