package scheduler_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// takeover is within what time of a cut somebody else leads.
const takeover = 3000

// slack is for how long a stranger's message may have kept the leader from
// ringing when it was cut off.
const slack = 100

// fired is a trigger in the log.
type fired struct {
	job, payload string
	due          int64
	seq          uint64
}

// judge compares the log with what was asked for. What was asked for but not
// acknowledged may be in force or not; what was acknowledged must be; and a
// change that comes before a backlog is rung may come before the backlog.
func (p *past) judge() {
	p.Helper()
	log, missed := p.readLog(), p.readMissed()
	seen := map[occasion]bool{}
	for _, f := range log {
		o := occasion{f.job, f.due}
		if seen[o] {
			p.Errorf("%s@%d was rung twice", f.job, f.due)
		}
		seen[o] = true
		if !p.allowed(f) {
			p.Errorf("%s@%d (%q, message %d) should not have been rung", f.job, f.due, f.payload, f.seq)
		}
		for _, m := range missed {
			if m.covers(f.job, f.due) {
				p.Errorf("%s@%d was rung and is recorded as missed", f.job, f.due)
			}
		}
	}
	for _, v := range p.versions {
		if v.max > 0 {
			p.judgeCount(v, log)
			continue
		}
		for due := range v.musts(p) {
			if !seen[occasion{v.job, due}] && !p.excused(v.job, due, missed) {
				p.Errorf("%s@%d (%q) was never rung", v.job, due, v.payload)
			}
		}
	}
	if p.relief.standing && len(missed) > 0 {
		p.Errorf("%d records of missed runs, though a standby was there", len(missed))
	}
	p.judgeEnds(seen)
	if p.Failed() {
		for _, f := range log {
			p.Logf("message %d: %s@%d %q", f.seq, f.job, f.due, f.payload)
		}
	}
}

type occasion struct {
	job string
	due int64
}

// start is from when on what was asked for at that moment may be in force.
func (p *past) start(m moment) int64 {
	if p.cutAt > 0 && p.cutAt <= m.acked && m.asked <= p.cutAt+takeover {
		return min(m.asked, p.cutAt-slack)
	}
	return m.asked
}

// allowed tells whether some version may have rung this.
func (p *past) allowed(f fired) bool {
	for _, v := range p.versions {
		if v.job == f.job && v.payload == f.payload && v.grid.holds(f.due) &&
			f.due >= p.start(v.began) && f.due <= v.ended.acked && f.seq <= v.ended.seq {
			return true
		}
	}
	return false
}

// musts gives what the version has to ring. An edit of the payload alone
// leaves no gap: one of the two versions rings.
func (v *version) musts(p *past) func(func(int64) bool) {
	from, to := v.began.acked+1, min(p.start(v.ended), time.Now().UnixMilli()-takeover)
	for _, next := range p.versions {
		if next.job == v.job && next.began == v.ended && next.grid == v.grid {
			to = next.began.acked
		}
	}
	return func(yield func(int64) bool) {
		for due := from; due < to; due++ {
			if v.grid.holds(due) && !yield(due) {
				return
			}
		}
	}
}

// excused tells whether an occurrence need not have been rung: nobody was
// there, and a record says so.
func (p *past) excused(job string, due int64, missed []missedRuns) bool {
	if p.relief.standing || due < p.cutAt-slack || due >= p.hiredAt {
		return false
	}
	for _, m := range missed {
		if m.covers(job, due) {
			return true
		}
	}
	return false
}

// judgeCount checks that a version with max_runs was rung exactly that often.
func (p *past) judgeCount(v *version, log []fired) {
	n := int64(0)
	for _, f := range log {
		if f.job == v.job && f.due > v.began.asked && f.due <= v.ended.acked {
			n++
		}
	}
	if n != v.max {
		p.Errorf("%s was rung %d times instead of %d", v.job, n, v.max)
	}
}

// judgeEnds checks what has become of the jobs.
func (p *past) judgeEnds(seen map[occasion]bool) {
	for _, v := range p.versions {
		j, ok := p.stored(v.job)
		switch v.job {
		case "tick", "gone":
			if ok {
				p.Errorf("%s was deleted and is there", v.job)
			}
			continue
		case "cron":
			if j.Enabled() || j.Reason != scheduler.ReasonDeactivated {
				p.Errorf("cron: enabled %v, reason %q", j.Enabled(), j.Reason)
			}
			continue
		}
		reason := scheduler.ReasonCompleted
		if v.grid.every == 0 && !seen[occasion{v.job, v.grid.origin}] {
			reason = scheduler.ReasonMissed
		}
		if !ok || j.Enabled() || j.Reason != reason {
			p.Errorf("%s: there %v, enabled %v, reason %q instead of %q", v.job, ok, j.Enabled(), j.Reason, reason)
		}
	}
}

// readLog reads the triggers. There must be one message of a stranger's, too.
func (p *past) readLog() []fired {
	p.Helper()
	var log []fired
	strangers := 0
	for seq := uint64(1); ; seq++ {
		m, err := p.triggers.GetMsg(p.Context(), seq, jetstream.WithGetMsgSubject("bellhop.trigger.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		p.ok(err)
		seq = m.Sequence
		job, ms, ok := strings.Cut(m.Header.Get(workers.HeaderRun), "@")
		if !ok {
			strangers++
			continue
		}
		due, err := strconv.ParseInt(ms, 10, 64)
		p.ok(err)
		log = append(log, fired{job, string(m.Data), due, seq})
	}
	if strangers != 1 {
		p.Errorf("%d messages of a stranger's", strangers)
	}
	return log
}

// missedRuns is a record of what a job has missed.
type missedRuns struct {
	job      string
	from, to int64
}

func (m *missedRuns) covers(job string, due int64) bool {
	return m.job == job && m.from <= due && due <= m.to
}

func (p *past) readMissed() []missedRuns {
	p.Helper()
	stream, err := p.js.Stream(p.Context(), "bellhop-runs")
	p.ok(err)
	var list []missedRuns
	for seq := uint64(1); ; seq++ {
		m, err := stream.GetMsg(p.Context(), seq, jetstream.WithGetMsgSubject("bellhop.run.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return list
		}
		p.ok(err)
		seq = m.Sequence
		var r workers.Run
		p.ok(json.Unmarshal(m.Data, &r))
		if r.Outcome == workers.OutcomeMissed {
			list = append(list, missedRuns{r.Job, r.Missed.From.UnixMilli(), r.Missed.To.UnixMilli()})
		}
	}
}
