package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// scribes write one history, all at once: the revisions from 1 on, each record after
// the one before, as if every one of them were the leader. Whatever they do to each
// other, and whatever is done to NATS, it must have each revision once and in order.
type scribes struct {
	*fight
	series  atomic.Int64 // that were stored whole,
	batches atomic.Int64 // and atomic ones
	cut     atomic.Int64 // series of which a part was stored
	refused atomic.Int64
}

func (f *scribes) run(d time.Duration, disturb func(context.Context)) {
	f.bring(d, f.begin, f.scribe, f.stranger, disturb)
	for rounds := 1; !f.fought() && rounds < maxRounds; rounds++ { // on a slow machine
		f.bring(d, func(context.Context, *Scheduler) bool { return true }, f.scribe, f.stranger, disturb)
	}
	n := f.verify()
	f.Logf("%d records and %d of strangers: %d series and %d batches were stored whole, %d series in part, %d were refused",
		n, f.strangers.Load(), f.series.Load(), f.batches.Load(), f.cut.Load(), f.refused.Load())
	if !f.fought() {
		f.Error("nobody has fought")
	}
}

// maxRounds is how often the scribes come together until all of it has happened that
// they are there for.
const maxRounds = 12

func (f *scribes) fought() bool {
	return f.series.Load() > 0 && f.batches.Load() > 0 && f.cut.Load() > 0 && f.refused.Load() > 0
}

// begin writes the first record: in a history of strangers alone nobody could tell
// where it is.
func (f *scribes) begin(ctx context.Context, s *Scheduler) bool {
	c := newChronicle(s)
	c.series = true
	for pause(ctx, retryWait) {
		_, _, err := f.page(ctx, c, 0, 0, 1)
		if err == nil || isRefusal(err) { // then it is stored, and its answer was lost
			return true
		}
	}
	return false
}

// scribe reads the end of the history and goes on from there, until it fails.
func (f *scribes) scribe(ctx context.Context) {
	s := f.corner(ctx)
	for s != nil && pause(ctx, rand.N(5*time.Millisecond)) {
		c := newChronicle(s)
		within, cancel := context.WithTimeout(ctx, ackWait)
		stream, err := c.js.Stream(within, c.ns.ChangesStream())
		var revision, last uint64
		if err == nil {
			revision, last, err = c.end(within, stream, math.MaxUint64)
		}
		cancel()
		for c.series = true; err == nil && ctx.Err() == nil; {
			if rand.IntN(20) == 0 {
				pause(ctx, rand.N(20*time.Millisecond)) // somebody else may come first
			}
			revision, last, err = f.page(ctx, c, revision, last, 1+rand.IntN(400))
		}
	}
}

// page writes n records, and gives the new end.
func (f *scribes) page(ctx context.Context, c *chronicle, revision, last uint64, n int) (_, _ uint64, err error) {
	lines := make([]line, n)
	for i := range lines {
		data, err := json.Marshal(Change{Revision: revision + uint64(i) + 1})
		if err != nil {
			f.Error(err)
		}
		lines[i] = line{c.ns.ChangeSubject("j"), data}
	}
	stored := &f.series
	if c.slow = 0; rand.IntN(4) == 0 && n >= probe {
		c.slow, stored = seriesTries, &f.batches
	}
	if rand.IntN(20) == 0 { // the connection is lost in the middle
		time.AfterFunc(rand.N(5*time.Millisecond), func() { _ = c.js.Conn().ForceReconnect() })
	}
	end, err := c.append(ctx, lines, last)
	switch {
	case err == nil:
		stored.Add(1)
	case isRefusal(err):
		f.refused.Add(1)
	}
	if want := last + uint64(n); err == nil && end != want {
		f.Errorf("the page after %d ends at %d, want %d", last, end, want)
	}
	if err != nil && stored == &f.series {
		f.look(ctx, c, lines, last)
	}
	return revision + uint64(n), end, err
}

// look sees whether a part of a series was stored that failed.
func (f *scribes) look(ctx context.Context, c *chronicle, lines []line, last uint64) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.ns.ChangesStream())
	if err != nil {
		return
	}
	m, err := stream.GetMsg(ctx, last+1)
	if err == nil && m.Header.Get(jetstream.ExpectedLastSeqHeader) != "" && string(m.Data) == string(lines[0].data) {
		f.cut.Add(1)
	}
}

// verify reads the history, and gives how many records it has.
func (f *scribes) verify() (n uint64) {
	ctx, cancel := context.WithTimeout(f.Context(), 2*time.Minute)
	defer cancel()
	s := f.corner(ctx)
	if s == nil {
		f.Fatal("nobody answers any more")
	}
	for after := uint64(0); ; {
		err := f.read(ctx, s, after, func(m jetstream.Msg, meta *jetstream.MsgMetadata) {
			after = meta.Sequence.Stream
			var r Change
			if json.Unmarshal(m.Data(), &r) != nil {
				return // a stranger's
			}
			if n++; r.Revision != n {
				f.Fatalf("the record at %d is of revision %d, want %d", after, r.Revision, n)
			}
		})
		if err == nil {
			return n
		}
		if !pause(ctx, retryWait) { // the cluster may have no leader yet
			f.Fatal(err)
		}
	}
}

func (f *scribes) read(ctx context.Context, s *Scheduler, after uint64, fn func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	begin, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	stream, err := s.js.Stream(begin, s.ns.ChangesStream())
	if err != nil {
		return err
	}
	return kv.ReadStream(ctx, stream, jetstream.OrderedConsumerConfig{OptStartSeq: after + 1}, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		fn(m, meta)
		return true
	})
}

// stranger writes among the records. What follows on it in a series, in the place
// that it has taken, must not be stored.
func (f *scribes) stranger(ctx context.Context) {
	s := f.corner(ctx)
	for s != nil && pause(ctx, rand.N(100*time.Millisecond)) {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		if _, err := s.js.Publish(wait, s.ns.ChangeSubject("x"), []byte("a stranger's")); err == nil {
			f.strangers.Add(1)
		}
		cancel()
	}
}

// TestSeries lets scribes write on one server.
func TestSeries(t *testing.T) {
	f := &scribes{fight: &fight{T: t, urls: natstest.StartProcess(t, natstest.ProcessOptions{}).URL, replicas: 1}}
	f.run(fightFor(t, 5*time.Second), func(context.Context) {})
}

// TestSeriesOnCluster lets them write on three servers, while the stream's leader
// steps down and servers are killed.
func TestSeriesOnCluster(t *testing.T) {
	servers := natstest.StartCluster(t, 3)
	f := &scribes{fight: &fight{T: t, urls: serverURLs(servers), replicas: 3}}
	f.run(fightFor(t, 20*time.Second), func(ctx context.Context) {
		f.disturb(ctx, servers, workers.Namespace.ChangesStream)
	})
}

// TestSeriesAmongOthers has so many series begun by others, and not ended, that the
// server says after each message how far ours has come.
func TestSeriesAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, err := jetstream.New(natstest.Start(t).Connect())
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"s"}, AllowBatchPublish: true})
		if err != nil {
			t.Fatal(err)
		}
		const others = 500
		for i := range others {
			if err := js.Conn().PublishRequest("s", fmt.Sprint(nats.NewInbox(), seriesTerms, 1, seriesOperation(0, 2)), []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		heard, err := js.Conn().SubscribeSync(nats.InboxPrefix + ">")
		if err != nil {
			t.Fatal(err)
		}
		lines := make([]line, chronicleBatch)
		for i := range lines {
			lines[i] = line{subject: "s"}
		}
		info, err := stream.Info(t.Context())
		if err != nil || info.State.LastSeq != others {
			t.Fatalf("%d series have begun, %v", info.State.LastSeq, err)
		}
		if end, err := appendSeries(t.Context(), js.Conn(), lines, others); err != nil || end != others+chronicleBatch {
			t.Errorf("the series ends at %d, %v", end, err)
		}
		synctest.Wait()
		if n, _, err := heard.Pending(); err != nil || n < chronicleBatch {
			t.Errorf("%d answers have come (%v): this test tests nothing", n, err)
		}
	})
}

// TestSeriesOfAPausedWriter pauses a writer in the middle of a series, while another one
// writes a single message. Then the rest arrives: its first message expects a place that
// is taken, and its second one the very end of the stream. Neither is stored.
func TestSeriesOfAPausedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := natstest.Start(t)
		js, err := jetstream.New(srv.Connect())
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"s.*"}, AllowBatchPublish: true})
		if err != nil {
			t.Fatal(err)
		}
		lines := func(who string, n int) (all []line) {
			for i := range n {
				all = append(all, line{"s." + who, fmt.Append(nil, who, i)})
			}
			return all
		}
		way := &tap{Server: srv}
		paused := srv.Connect(nats.InProcessServer(way))
		way.hold(1000) // of some three thousand
		done := make(chan error, 1)
		go func() {
			_, err := appendSeries(t.Context(), paused, lines("paused", 20), 0)
			done <- err
		}()
		synctest.Wait()
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last := info.State.LastSeq
		if last == 0 || last > 18 {
			t.Fatalf("%d messages have come through: this test tests nothing", last)
		}
		if end, err := appendSeries(t.Context(), js.Conn(), lines("other", 1), last); err != nil || end != last+1 {
			t.Fatalf("the other one's is stored at %d, %v", end, err)
		}
		if err := way.release(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, errRefused) {
			t.Errorf("the paused one is told %v", err)
		}
		synctest.Wait()
		if info, err = stream.Info(t.Context()); err != nil || info.State.LastSeq != last+1 {
			t.Errorf("the stream ends at %d, want %d: %v", info.State.LastSeq, last+1, err)
		}
		if m, err := stream.GetMsg(t.Context(), last+1); err != nil || m.Subject != "s.other" {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// TestChronicleLearnsWhatASeriesCosts has many records go as an atomic batch where they
// took long again and again, until that may have changed, and everything where the
// stream takes no series.
func TestChronicleLearnsWhatASeriesCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(newBound(t))
		stream, err := c.js.Stream(t.Context(), c.ns.ChangesStream())
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		wrote := func(n int, wantSeries bool, wantBatches int) {
			t.Helper()
			lines := make([]line, n)
			for i := range lines {
				lines[i].subject = c.ns.ChangeSubject("j")
			}
			end, err := c.append(t.Context(), lines, last)
			if err != nil || end != last+uint64(n) {
				t.Fatalf("%d records after %d end at %d, %v", n, last, end, err)
			}
			last = end
			m, err := stream.GetMsg(t.Context(), last)
			if err != nil {
				t.Fatal(err)
			}
			// In a batch only the first message says where it belongs.
			if series := m.Header.Get(jetstream.ExpectedLastSeqHeader) == fmt.Sprint(last-1); n > 1 && series != wantSeries || c.batches != wantBatches {
				t.Errorf("%d records: as a series %v, want %v; %d batches, want %d", n, series, wantSeries, c.batches, wantBatches)
			}
		}
		wrote(1, false, 1)
		wrote(2*probe, false, 2)

		c.series, c.batches = true, 0
		wrote(probe-1, true, 0)
		if c.slow != 1 {
			t.Errorf("%d series of few records were slow", c.slow-1)
		}
		c.slow = seriesTries - 1
		wrote(2*probe, true, 0) // which takes no time on the bubble's clock
		if c.slow != 0 {
			t.Errorf("%d series count as slow after one that was not", c.slow)
		}
		for try := 1; try <= seriesTries; try++ {
			if wrote(probe, true, 0); c.slow != 0 {
				t.Errorf("%d series count as slow after one that was not", c.slow)
			}
			for range try {
				c.learn(probe, probe*slowAck+1)
			}
			c.learn(probe-1, time.Hour)
		}
		wrote(probe-1, true, 0)
		wrote(probe, false, 1)
		c.batches = maxTrust - 1
		wrote(probe, false, 0)
		wrote(2*probe, true, 0)
		if c.slow != 0 {
			t.Errorf("%d series count as slow after one that was not", c.slow)
		}
	})
}
