// Package httpchannel lets anybody ring services over HTTP.
//
//	POST /services/{service}   rings; the body is the payload, whatever its type
//	GET  /runs/{id}            how a run fares
//	GET  /runs/{id}/events     the same as it happens, as server-sent events
//
// The data's way:
//
//	POST ─► Channel ─► stream <ns>-rings ─► worker ─► <ns>.reply.…
//	  ▲        │             │                             │
//	  ├─ 202 ──┴── stored ◄──┘                             │
//	  └─ 200 ◄── Prefer: wait=10 ──────── output ◄─────────┘
//
// # Ringing
//
// The answer is 202 Accepted when the ring is stored, and not before: with the
// run's id in a JSON body, and where the run is found in Location. With
// Prefer: wait=N (RFC 7240) it is the service's output and its content type, as
// soon as there is one; when there is none after N seconds, 60 at the most, or
// the channel stops, it is 202 after all, and the run goes on.
//
// Who sends an Idempotency-Key may repeat a request: for ten minutes the same
// key, of the same caller for the same service, is the same run, which is not
// rung again. What the first request had for a payload is what counts; the
// others' are not looked at. Whoever gets no answer repeats the request with its
// key, and nothing is lost or done twice.
//
// Of the request's header Content-Type, Content-Encoding, Content-Language,
// traceparent and tracestate go with the payload, and those that Options.Pass
// names. Nothing else does: no Authorization, no Cookie, nothing that begins with
// Nats- or Bellhop-.
//
// # What may go wrong
//
// An error is a problem document (RFC 9457) with a title, a detail and often a
// hint:
//
//	400  the service's name, the key or Prefer cannot be right
//	404  no such page; no such run; with Options.Strict, a service that no worker has ever run
//	405  with Allow
//	413  the payload is larger than NATS takes
//	415  never: every type is as good as any other
//	503  with Retry-After: too many at once, NATS away, no room for rings: repeat it
//
// and where the run was waited for, and failed: 422 if that is for good, 409 if
// it was skipped, 410 if it was cancelled or came too late, 504 if it timed out,
// 502 with any other error. The run's id stands beside it.
//
// Who may do what is decided outside of this package: a handler around it finds
// out who calls, and Options.Caller tells.
package httpchannel
