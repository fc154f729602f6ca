package jobs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// watch follows the definitions: each that changes is printed anew.
type watch struct {
	link    *session.Link
	printer *output.Printer[*scheduler.Job]
	matches func(*scheduler.Job) bool

	bucket *kv.Bucket[[]byte]
	after  uint64 // the last revision that was there at the beginning
}

// open notes where to begin; what is printed between open and run is perhaps
// printed again.
func (w *watch) open(ctx context.Context) (err error) {
	if w.bucket, err = kv.Open[[]byte](ctx, w.link.JS, w.link.Namespace.JobsBucket()); err != nil {
		return err
	}
	w.after, err = w.bucket.Last(ctx)
	return err
}

// run prints until ctx is done.
func (w *watch) run(ctx context.Context) error {
	if err := w.printer.Flush(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for {
		err := w.bucket.Watch(ctx, w.after, func(e kv.Entry[[]byte]) {
			if err := w.changed(ctx, e); err != nil && ctx.Err() == nil {
				cancel(err)
			}
			w.after = e.Revision
		}, func() {})
		switch cause := context.Cause(ctx); {
		case cause != nil && !errors.Is(cause, context.Canceled):
			return cause
		case cause != nil || errors.Is(err, jetstream.ErrStreamNotFound):
			return err
		}
		select { // NATS was away
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}

// watchPause is before the bucket is watched again.
const watchPause = 250 * time.Millisecond

func (w *watch) changed(ctx context.Context, e kv.Entry[[]byte]) error {
	name, err := workers.Unescape(e.Key)
	if err != nil {
		return nil // not a job: whoever put it there sees it with job list
	}
	j := deleted(name)
	if !e.Deleted {
		if j, err = w.link.Jobs.Get(ctx, name); scheduler.Code(err) == 404 && err != nil {
			return nil // its deletion comes next
		}
		if err != nil {
			return err
		}
	}
	if !w.matches(j) {
		return nil
	}
	if err := w.printer.Print(j); err != nil {
		return err
	}
	return w.printer.Flush()
}

// matches tells whether a changed job is one of those that are listed. Of one
// that is gone, only its name is known.
func (c *List) matches(j *scheduler.Job) bool {
	if !strings.HasPrefix(j.Name, c.Prefix) {
		return false
	}
	if j.State == deleted("").State {
		return true
	}
	if c.Service != "" && j.Service != c.Service || c.State != "" && j.State != c.State {
		return false
	}
	for k, want := range c.Label {
		if have, ok := j.Labels[k]; !ok || have != want {
			return false
		}
	}
	return true
}

func (c *Get) matches(j *scheduler.Job) bool { return slices.Contains(c.Names, j.Name) }
