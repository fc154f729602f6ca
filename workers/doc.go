// Package workers runs services; each trigger is delivered to its service at
// least once: after a crash the same run may come again, with the same
// Trigger.Run, and a service that must not do a thing twice checks that id.
//
// A service is a name and a handler. It takes payload bytes and gives output
// bytes or an error, and need not know who rang:
//
//	w := workers.New(nc, workers.Options{Concurrency: 8})
//	w.HandleFunc("billing", func(ctx context.Context, t *workers.Trigger) ([]byte, error) { … })
//	return w.Run(ctx)
//
// The data's way:
//
//	scheduler ──► <ns>.trigger.billing ──► stream <ns>-triggers ─┐
//	                                                             ├─► worker ─► Service
//	Dispatcher ─► <ns>.ring.amqp.billing ─► stream <ns>-rings ───┤      │
//	                                                             │      ├─► <ns>.run.…  its record
//	nats req ───► <ns>.call.billing ──── (answered at once) ─────┘      └─► <ns>.dead.billing
//
// A message needs no headers: `nats pub bellhop.trigger.billing hello` rings
// with the defaults.
//
// # What a worker promises
//
//   - A trigger is acknowledged after its run. While the service works, and
//     while the trigger waits for its turn, heartbeats keep it; when the worker
//     dies another has it within Options.AckWait.
//   - An error, a panic or a timeout is tried again as the Policy says, with a
//     growing wait; Permanent errors are not. The last failure is a dead letter,
//     stored before the trigger is let go.
//   - Attempts are deliveries: what was fetched or begun and then lost with its
//     worker counts. Deaths alone make a dead letter only after ten deliveries
//     more than the policy's attempts.
//   - A trigger that NATS delivers again, because it was away, to a worker that
//     still runs it or has just done it, is not run again there.
//   - Each attempt leaves a Run record, unless Policy.History says otherwise.
//     The record is sent before the acknowledgement and, unless the run is to
//     be tried again, not waited for. So a crash leaves a record too many (the
//     run comes again and has another), never a run without one; what NATS does
//     not confirm is sent again, and what is lost for good is logged.
//   - A worker that is stopped takes nothing new, lets its runs finish for
//     Options.DrainTimeout, then cancels them and gives them back.
//   - No payload is ever logged or parsed.
//
// # Consumers
//
// The workers of a service share one durable consumer per stream, named after
// the service. It is made once, from the stream's beginning: triggers that were
// published before the first worker came are run, too. Every few seconds the
// workers save how far it has come into the state bucket. A consumer that is
// deleted underfoot is made anew after that place, so what was acknowledged
// long ago is not run again; what was acknowledged in the last seconds may be.
// A saved place in a stream that was itself deleted and made anew counts for
// nothing, which is logged: all that the new stream holds is run.
//
// # Services that are something else
//
// Package workers/command makes a service of any program, workers/forward one
// of an HTTP endpoint.
//
// # Setting up
//
// Setup makes the streams but for the triggers', which is the scheduler's. A
// worker that is started earlier waits for them. Dispatcher is how channels and
// programs ring.
package workers
