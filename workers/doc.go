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
//   - An attempt that dies with its worker counts. A trigger whose attempts are
//     used up that way becomes a dead letter without being begun again; one that
//     only lay in the worker's buffer loses at most its first attempt.
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
// # How many at once
//
// Options.Concurrency is how many runs a worker has under way. Of these each
// service has one for itself, so that a hot or a stuck one never starves another;
// the others share what is left by ServiceOptions.Priority and by how long they
// wait. ServiceOptions also bounds one service: its runs in this worker, in the
// whole fleet, and how many it starts in a second.
//
// # Runs of the same job
//
// Policy.Overlap says what happens to a run when another of its job is under way,
// anywhere in the fleet, or waits for its next attempt:
//
//	allow    both run
//	skip     it ends as skipped
//	queue    it waits; each has its turn in the order of its stream
//	replace  the other is cancelled, and this one runs when that has ended
//
// Of the two streams neither comes first, nor of two services, when a job was
// given another one while runs waited. A job without such a policy costs
// nothing; with one, each attempt costs one read and two writes. The turn is a
// lease in the state bucket, written by compare-and-set:
//
//	trigger ─► line ─► lease.job.<key> ─► slot ─► service ─► given back ─► ack
//	                     ▲ a beat every sixth of AckWait
//
// A worker that cannot write two beats gives up: the run's context ends with
// ErrLeaseLost. Whoever waits takes the lease over when it has seen no beat for
// two and a quarter, by its own clock: no two machines' clocks are compared. A
// process that was frozen longer than that finds its lease lost when it wakes, and
// what it does between waking and heeding its context is the only overlap that
// there can be. The seats of a service that ServiceOptions.Fleet limits are such
// leases, too.
//
// # Cancelling
//
// Cancel ends a run wherever it is: its context if it runs, else it ends when it
// is its turn, without being started. What ends a context is its context.Cause:
// ErrCancelled, ErrReplaced, ErrLeaseLost, ErrStopped, or the timeout.
//
// # What a run tells
//
// A service logs lines of its run (Log, Logger) and says how far it has come
// (Report). Both are in the run's record, and seen while it goes on:
//
//	service ─┬─► <ns>.live.<run>      as it comes, to whoever listens ──┐
//	         ├─► <ns>.active          to whoever asks (Active) ─────────┼─► Follow
//	         └─► its record           the last 8 KiB, and the progress ─┘
//
// Nothing of it is waited for, and to be followed slows no run down: a flood of
// lines is not published to its end, and its reader sees how many are missing. A
// run that tells nothing pays nothing.
//
// # Chains
//
// Policy.OnSuccess and Policy.OnFailure name what is rung after a run: a service,
// or a job. It is given the whole output, or the error's text, and is told the
// run before it (Trigger.Parent) and how many there were (Trigger.Depth).
//
//	run ─► ok ───► on_success ─┬─► billing:    <ns>.ring.chain.billing
//	   └─► dead ─► on_failure ─┴─► job:Nightly: <ns>.jobs.run, by the scheduler
//
// The run's message is acknowledged when what follows is stored, and heartbeats
// keep it so long. When the worker dies in between, the run comes again and rings
// again, under the same id: within ten minutes that is the same ring. Nothing
// follows on a run that was skipped, cancelled or expired, nor on a direct call.
// What can never be rung (no such job, too large) becomes a dead letter, with the
// output as its payload; the run before it stays what it was.
//
// A chain has MaxDepth links at most. What would be the next one is a dead letter
// that says so, and nothing follows on it: jobs that name one another end there.
// A service that rings others itself passes on Parent and Depth (see Ring).
//
// # Dead letters
//
// A letter has the payload, the headers, the policy and the run id of what has
// failed for good, and why (HeaderReason, HeaderAttempts). Letters lists them;
// Redrive rings the service again with all of it, and deletes the letter when
// that is stored. A payload for which the letter had no room is fetched from
// where the trigger is kept (HeaderPlace), as long as it is there.
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
// # Around a service
//
// A Middleware is a func(Service) Service, given to Worker.Use:
//
//	figures ─► Recover ─► the worker's own, in their order ─► the service
//
// Recover and Logging are written that way, as is whatever you need: a check of
// who rang, a limit, a transaction. What ends a run at once or later is the error
// that comes out: Permanent, RetryAfter, or any other.
//
// # Finding services
//
// Each service is a micro service of NATS's own protocol: `nats micro ls` shows
// its version and description (ServiceOptions), `nats micro info` where it is
// called, `nats micro stats` how many direct calls there were, with how many
// errors and how much work, and how runs have ended, whoever rang (Stats). A dot
// in a name is an underscore there; the metadata has the name itself.
//
// # Tracing and figures
//
// A Worker and a Dispatcher are prometheus.Collectors. Package workers/tracing
// makes a span of OpenTelemetry of each run and has rings carry the trace of
// whoever rings; without it a traceparent that comes with a trigger is passed
// on, and names the trace in the run's record.
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
