package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"
)

// Middleware wraps a service into another that does something before, after or
// instead. See Worker.Use.
//
// What it gives to the service inside may differ from what it was given: a
// context of its own, or a changed copy of the trigger. The header of a trigger
// is shared with whoever else has it: copy the map before writing.
type Middleware func(Service) Service

// maxStack bounds the stack of a panic in the log, in bytes.
const maxStack = 4 << 10

// Recover makes an error of a panic, which is then tried again like any other,
// and logs it with its stack. A Worker has one of its own around all middleware;
// another one inside lets those between see the panic as an error.
func Recover(log *slog.Logger) Middleware {
	return func(next Service) Service {
		return ServiceFunc(func(ctx context.Context, t *Trigger) (out []byte, err error) {
			defer func() {
				if p := recover(); p != nil {
					out, err = nil, fmt.Errorf("panic: %v", p)
					log.Error("service panicked", "service", t.Service, "run", t.Run,
						"panic", string(cut(fmt.Append(nil, p), maxError)), "stack", string(cut(debug.Stack(), maxStack)))
				}
			}()
			return next.Serve(ctx, t)
		})
	}
}

// Logging logs the beginning of each attempt (debug) and its end: info, or warn
// with the error. Neither payload nor output is logged.
func Logging(log *slog.Logger) Middleware {
	return func(next Service) Service {
		return ServiceFunc(func(ctx context.Context, t *Trigger) ([]byte, error) {
			log := log.With("service", t.Service, "run", t.Run, "attempt", t.Attempt, "channel", t.Channel)
			log.Debug("attempt begins", "payload_bytes", len(t.Payload))
			began := time.Now()
			out, err := next.Serve(ctx, t)
			took := time.Since(began)
			if err != nil {
				log.Warn("attempt failed", "took", took, "permanent", IsPermanent(err), "error", string(cut([]byte(err.Error()), maxError)))
			} else {
				log.Info("attempt done", "took", took, "output_bytes", len(out))
			}
			return out, err
		})
	}
}

// Use has every service of the worker, whenever it was named, wrapped in
// middleware; the first is the outermost. What the worker itself puts around a
// service, its figures and Recover, is outside of all. Call it before Run.
func (w *Worker) Use(m ...Middleware) { w.around = append(w.around, m...) }

// wrap puts the middleware around the services.
func (w *Worker) wrap() error {
	for name, h := range w.services {
		around := append([]Middleware{Recover(w.log)}, w.around...)
		for _, m := range slices.Backward(around) {
			if m == nil {
				return errors.New("a middleware is nil")
			}
			if h.Service = m(h.Service); h.Service == nil {
				return fmt.Errorf("a middleware has made nothing of service %s", name)
			}
		}
	}
	return nil
}
