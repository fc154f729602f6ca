package bench

import (
	"context"
	"fmt"
	"time"
)

// meter measures the processor time of parts, and of the servers.
type meter struct {
	parts, servers []*Part
	used           bool

	ours, theirs time.Duration // at begin
}

// meter makes one.
func (h *House) meter(parts ...*Part) *meter { return &meter{parts: parts, servers: h.Servers()} }

// begin begins to measure. The first time, the parts' profiles begin anew, so that
// nothing of their start is in them.
func (m *meter) begin(ctx context.Context) (err error) {
	if !m.used {
		m.used = true
		for _, p := range m.parts {
			if err := p.Tell(profileOrder); err != nil {
				return err
			}
		}
	}
	if m.ours, err = spent(ctx, m.parts); err != nil {
		return err
	}
	m.theirs, err = spent(ctx, m.servers)
	return err
}

// end fills in what each of n messages has cost since begin.
func (m *meter) end(ctx context.Context, n int, f *Figure) error {
	ours, err := spent(ctx, m.parts)
	if err != nil {
		return err
	}
	theirs, err := spent(ctx, m.servers)
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(n, 1)) }
	f.CPU, f.Server = each(ours-m.ours), each(theirs-m.theirs)
	return err
}

// spent is the processor time of all of them together.
func spent(ctx context.Context, parts []*Part) (sum time.Duration, err error) {
	for _, p := range parts {
		u, err := p.Usage(ctx)
		if err != nil {
			return 0, err
		}
		sum += u.CPU
	}
	return sum, nil
}

// cpuNote tells what a message has cost of processor time.
func (r *Row) cpuNote(ours, raw string) string {
	if r.Bellhop.CPU == 0 {
		return ""
	}
	note := fmt.Sprintf("CPU a message: %s %s µs, %s %s µs", ours, digits(r.Bellhop.CPU), raw, digits(r.Raw.CPU))
	if r.Bellhop.Server > 0 {
		note += fmt.Sprintf("; the server %s and %s µs", digits(r.Bellhop.Server), digits(r.Raw.Server))
	}
	return note
}
