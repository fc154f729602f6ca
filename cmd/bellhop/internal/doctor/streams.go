package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go/jetstream"
)

// skew is how far this clock may be off the server's.
const skew = time.Second

// streams looks at each stream and bucket, and at the server's clock, which
// comes with their answers.
func (d *doctor) streams(ctx context.Context) {
	ns := d.link.Namespace
	told := false
	for _, name := range []string{
		ns.TriggersStream(), ns.RingsStream(), ns.RunsStream(), ns.DeadStream(), ns.ChangesStream(), "KV_" + ns.JobsBucket(), "KV_" + ns.StateBucket(),
	} {
		what := "stream"
		if strings.HasPrefix(name, "KV_") {
			what = "bucket"
		}
		within, cancel := d.question(ctx, asking)
		info, asked, answered, err := d.ask(within, name)
		cancel()
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			d.report(finding{fail, what, strings.TrimPrefix(name, "KV_") + " is missing",
				"start a scheduler (bellhop up, or bellhop-scheduler): it makes what is missing; or name another --namespace"})
			continue
		}
		if err != nil {
			d.unknown(within, what, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if !told && !info.TimeStamp.IsZero() {
			told = true
			d.clock(info.TimeStamp, asked, answered)
		}
		d.report(d.stream(what, info))
	}
}

func (d *doctor) ask(ctx context.Context, name string) (info *jetstream.StreamInfo, asked, answered time.Time, err error) {
	asked = time.Now()
	s, err := d.link.JS.Stream(ctx, name)
	if err != nil {
		return nil, asked, time.Now(), err
	}
	return s.CachedInfo(), asked, time.Now(), nil
}

// clock compares the time of an answer with those between which it was given.
func (d *doctor) clock(server, asked, answered time.Time) {
	off := time.Duration(0)
	switch {
	case server.Before(asked):
		off = server.Sub(asked)
	case server.After(answered):
		off = server.Sub(answered)
	}
	f := finding{ok, "clock", "agrees with the server's", ""}
	if off.Abs() > 10*time.Millisecond {
		f.Found = fmt.Sprintf("the server's is %s off this machine's", off.Round(time.Millisecond))
	}
	if off.Abs() > skew {
		f.Level, f.Do = warn, "jobs are due by the clock of the scheduler's machine: set all of them by NTP"
	}
	d.report(f)
}

func (d *doctor) stream(what string, info *jetstream.StreamInfo) finding {
	c := info.Config
	found := fmt.Sprintf("%s: %d messages, %s", strings.TrimPrefix(c.Name, "KV_"), info.State.Msgs, bytes(info.State.Bytes))
	if c.MaxBytes > 0 {
		found += " of " + bytes(uint64(c.MaxBytes))
	}
	if c.MaxAge > 0 {
		found += ", kept " + clock.Rough(c.MaxAge)
	}
	if c.Replicas > 1 {
		found += fmt.Sprintf(", %d replicas", c.Replicas)
	}
	f := finding{ok, what, found, ""}
	if err := scheduler.CheckSettings(d.link.Namespace, c); err != nil {
		f.Level, f.Found = fail, found+"; "+err.Error()
		f.Do = "change it with nats stream edit " + c.Name + ", or, where a setting cannot be changed, delete the stream while nothing runs: a scheduler makes it anew"
		return f
	}
	full := c.MaxBytes > 0 && float64(info.State.Bytes) > nearlyFull*float64(c.MaxBytes)
	switch behind := lagging(info.Cluster); {
	case info.Cluster != nil && info.Cluster.Leader == "" && c.Replicas > 1:
		f.Level, f.Do = fail, "it has no leader: most of its servers must be there"
	case behind != "":
		f.Level, f.Do = warn, behind+" is not up to date: see that it runs"
	case full && c.Discard == jetstream.DiscardNew:
		f.Level, f.Do = warn, "it is nearly full and will refuse more: see who is behind (bellhop service list), or raise its limit"
	}
	return f
}

// lagging names a replica that is not current.
func lagging(c *jetstream.ClusterInfo) string {
	if c == nil {
		return ""
	}
	for _, r := range c.Replicas {
		if !r.Current || r.Offline {
			return "the replica on " + r.Name
		}
	}
	return ""
}
