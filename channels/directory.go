package channels

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// How long what is known of a service is believed.
const (
	believeKnown   = time.Minute
	believeUnknown = time.Second
	maxRemembered  = 4096
)

// Directory knows which services there are, for channels that are strict: a
// service is known once a worker has run it, be one there now or not. The zero
// value is ready; it is safe for concurrent use.
type Directory struct {
	mu    sync.Mutex
	until map[string]time.Time // of known services, and of unknown ones
	no    map[string]time.Time
}

// Check gives ErrUnknownService for a service that nobody has ever run; any
// other error is passing trouble, or a name that cannot be one (Permanent tells).
func (r *Directory) Check(ctx context.Context, d *workers.Dispatcher, service string) error {
	if err := workers.CheckService(service); err != nil {
		return fmt.Errorf("%w: %w", workers.ErrRefused, err)
	}
	now := time.Now()
	r.mu.Lock()
	known, unknown := now.Before(r.until[service]), now.Before(r.no[service])
	r.mu.Unlock()
	if !known && !unknown {
		var err error
		if known, err = d.Known(ctx, service); err != nil {
			return err
		}
		r.remember(service, known, now)
	}
	if !known {
		return fmt.Errorf("service %s: %w", service, ErrUnknownService)
	}
	return nil
}

func (r *Directory) remember(service string, known bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until)+len(r.no) >= maxRemembered || r.until == nil {
		r.until, r.no = map[string]time.Time{}, map[string]time.Time{}
	}
	delete(r.no, service)
	if known {
		r.until[service] = now.Add(believeKnown)
	} else {
		r.no[service] = now.Add(believeUnknown)
	}
}
