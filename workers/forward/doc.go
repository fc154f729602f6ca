// Package forward makes a service of an HTTP endpoint. A request may come more
// than once for one trigger: what must not happen twice, the endpoint guards by
// the header Idempotency-Key, which stays the same.
//
//	e, err := forward.New("https://crm.example/hook", forward.Options{})
//	…
//	w.Handle("crm", e)
//
// The data's way:
//
//	payload ─► POST /hook             ─►┐          ┌─► 2xx: the body is the output
//	           Bellhop-Run, …           ├ endpoint ┤
//	           Idempotency-Key          │          ├─► 4xx: failed for good
//	trigger ─► Content-Type,          ─►┘          └─► else: failed, tried again
//	           traceparent, tracestate
//
// # What an endpoint is given
//
// The payload is the body, byte for byte. What the trigger says is in headers,
// each only where there is something to say: Bellhop-Run, Bellhop-Job (the key,
// as NATS shows it), Bellhop-Due, Bellhop-Channel, Idempotency-Key (the run's id
// again), and traceparent, tracestate and Content-Type as they came with the
// trigger; a body without any type is application/octet-stream. With package
// tracing around the service the traceparent is the run's own. Nothing else that came with a
// trigger is passed on, for somebody outside may have written it. Options.Header
// goes before what came with the trigger, and cannot replace Bellhop's own.
//
// With Options.Secrets a request is signed as Standard Webhooks has it, over the
// run's id, the time and the body: webhook-id, webhook-timestamp and
// webhook-signature.
//
// # Where requests go
//
// An endpoint may belong to somebody else, and so may the name server that knows
// where it is. A name that leads to a loopback, a private, a link-local or another
// address outside of the Internet is refused for good, at the moment of
// connecting, unless Options.Allow has it. What the URL itself spells out is
// allowed: an address, or localhost.
//
// # What it answers
//
// 2xx is success, and the first Options.MaxOutput bytes of the body are the
// run's output. 408, 425, 429 and everything outside 4xx is an error that is
// tried again as the run's policy says; any other 4xx makes a dead letter at
// once. Where 429 or 503 comes with Retry-After, the next attempt waits as long,
// in place of the backoff. The error's text has the status, Retry-After, and how
// the body begins.
//
// A redirect is followed when it keeps the method and the body (307, 308) and
// leads to the same host by the same scheme; any other is an error. The run's
// timeout is the only one.
//
// No proxy is used, whatever HTTP_PROXY and its like say: a worker's way to an
// endpoint is what its configuration says. Options.Transport can use one.
package forward
