package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/services"
	"github.com/bellhop-run/bellhop/scheduler"
)

const startOne = "start one: bellhop up, or bellhop-scheduler"

// schedulers looks who leads and who stands by.
func (d *doctor) schedulers(ctx context.Context) {
	ctx, cancel := d.question(ctx, asking)
	defer cancel()
	peers, err := scheduler.Ping(ctx, d.link.NC, d.link.Namespace)
	if err != nil {
		d.unknown(ctx, "scheduler", err)
		return
	}
	var leaders, standbys []string
	for _, p := range peers {
		if name := p.Name + ", up " + clock.Rough(time.Duration(p.Uptime)*time.Millisecond); p.Leading {
			leaders = append(leaders, name)
		} else {
			standbys = append(standbys, name)
		}
	}
	switch {
	case len(peers) == 0:
		d.report(finding{fail, "scheduler", "none runs: no job is rung", startOne})
	case len(leaders) == 0:
		d.report(finding{fail, "scheduler", fmt.Sprintf("none leads of %d that run (%s)", len(peers), strings.Join(standbys, "; ")),
			"one should lead within seconds; if none does, its log says why"})
	case len(leaders) > 1:
		d.report(finding{warn, "scheduler", "two say that they lead: " + strings.Join(leaders, "; "),
			"one of them has lost the lead and learns it with its next trigger: ask again in a second"})
	case len(standbys) == 0:
		d.report(finding{ok, "scheduler", leaders[0] + ", leads; nobody stands by", ""})
	default:
		d.report(finding{ok, "scheduler", fmt.Sprintf("%s, leads; %d stand by (%s)", leaders[0], len(standbys), strings.Join(standbys, "; ")), ""})
	}
}

// jobs counts them, and names those whose definition is broken.
func (d *doctor) jobs(ctx context.Context) {
	ctx, cancel := d.question(ctx, 10*asking)
	defer cancel()
	d.link.Jobs.Patience = asking
	all, active := 0, 0
	var broken []string
	for j, err := range d.link.Jobs.List(ctx, scheduler.Filter{Limit: scheduler.MaxListLimit}) {
		if errors.Is(err, scheduler.ErrNoLeader) {
			d.report(finding{fail, "jobs", "not known: no scheduler is leading", startOne})
			return
		}
		if err != nil {
			d.unknown(ctx, "jobs", err)
			return
		}
		if all++; j.State == scheduler.StateActive {
			active++
		}
		if j.Reason == scheduler.ReasonInvalid {
			broken = append(broken, fmt.Sprintf("%q (%s)", j.Name, j.Error))
		}
	}
	found := fmt.Sprintf("%d, of which %d are active", all, active)
	if len(broken) == 0 {
		d.report(finding{ok, "jobs", found, ""})
		return
	}
	const most = 3
	d.report(finding{warn, "jobs", fmt.Sprintf("%s; %d cannot be read: %s", found, len(broken), strings.Join(broken[:min(most, len(broken))], ", ")),
		"correct them with bellhop job put, or delete them; they heal by themselves when they are right"})
}

// services looks for what waits with nobody to take it.
func (d *doctor) services(ctx context.Context) {
	ctx, cancel := d.question(ctx, 5*asking)
	defer cancel()
	all, err := services.Queues(ctx, d.link)
	if err != nil {
		d.unknown(ctx, "services", err)
		return
	}
	served := 0
	for _, s := range all {
		if s.Workers > 0 {
			served++
		}
		if s.Stranded() {
			d.report(finding{warn, "service", fmt.Sprintf("%s: %d triggers and %d rings wait, and it has no worker", s.Name, s.Triggers, s.Rings),
				"start a worker that serves " + s.Name})
		}
	}
	d.report(finding{ok, "services", fmt.Sprintf("%d have workers", served), ""})
}
