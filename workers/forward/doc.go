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
//	           traceparent
//
// # What an endpoint is given
//
// The payload is the body, byte for byte. What the trigger says is in headers,
// each only where there is something to say: Bellhop-Run, Bellhop-Job (the key,
// as NATS shows it), Bellhop-Due, Bellhop-Channel, Idempotency-Key (the run's id
// again), and traceparent and Content-Type as they came with the trigger; a body
// without any type is application/octet-stream. Nothing else that came with a
// trigger is passed on, for somebody outside may have written it. Options.Header
// goes before what came with the trigger, and cannot replace Bellhop's own.
//
// # What it answers
//
// 2xx is success, and the first Options.MaxOutput bytes of the body are the
// run's output. 408, 425, 429 and everything outside 4xx is an error that is
// tried again as the run's policy says; any other 4xx makes a dead letter at
// once. The error's text has the status, Retry-After, and how the body begins.
//
// A redirect is followed when it keeps the method and the body (307, 308) and
// leads to the same host by the same scheme; any other is an error. The run's
// timeout is the only one.
//
// No proxy is used, whatever HTTP_PROXY and its like say: a worker's way to an
// endpoint is what its configuration says. Options.Transport can use one.
package forward
