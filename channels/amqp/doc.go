// Package amqp is the channel to and from RabbitMQ and whatever else speaks AMQP
// 0-9-1: an In rings services for the messages of a queue, and an Out is a service
// that publishes.
//
//	          ┌─ In ────────────────────────────────────────────┐
//	queue ───►│ message ─► ring ─► <ns>.ring.amqp.billing ─► ✓ │──► ack
//	          │ request ─► call ─► worker ─► reply-to      ─► ✓ │──► ack
//	          │ nonsense ───────────────────────────────────► ✗ │──► reject ─► dead letters
//	          └─────────────────────────────────────────────────┘
//	          ┌─ Out ───────────────────────────────────────────┐
//	run ─────►│ publish ─► confirmed by a queue               ✓ │──► ok
//	          │         ─► returned, refused, not confirmed   ✗ │──► tried again
//	          └─────────────────────────────────────────────────┘
//
// # In
//
// A message is acknowledged when its ring is stored, and not before; many are
// under way at a time (InOptions.Prefetch), and one acknowledgement may be for
// several. Which service is rung is InOptions.Service, a header, or the routing
// key. Rings are stored in the order of the queue, as long as nothing fails.
//
// The run's id is made of the broker's name, the queue and the message's id:
// property message-id, or the header InOptions.IDHeader. A message that comes
// again has the same run id, and within ten minutes it is not even rung again. A
// message without an id gets a random one, and keeps it for as long as this
// process has it. It cannot be recognised later: when the process dies, or its
// connection breaks, between ring and acknowledgement, it is rung again under
// another id. Its payload is no id: equal messages are legal, and each counts. So
// have publishers set message-id. An id too long for a run's is replaced by its
// SHA-256.
//
// What can never be rung (no or an unknown service, too large, properties that
// are not text) is rejected without requeue: the queue's dead-letter exchange has
// it, with the broker's own words; without such an exchange it is gone, and the
// log says so. What cannot be rung now is tried again in place, under the same id,
// with growing waits, for InOptions.Hold. After that all that is under way goes
// back to the queue, and nothing is consumed until NATS is well. Queues with a
// delivery limit count that once for each round.
//
// # Requests
//
// A message with reply-to and correlation-id is a request: the service is called
// directly, and its output is published to the default exchange under reply-to
// with the same correlation-id. A failure is a workers.CallError in JSON, and its
// code in the header Bellhop-Error-Code: 400 what cannot be called, 404 an unknown
// service (Strict), 413 too large, 503 no worker, 504 too late, and what the
// service itself answers. Requests are acknowledged after the broker has the
// answer; one whose bridge dies before is called again. An answer that nobody
// waits for any more is dropped by the broker; a request over whose reply-to the
// broker ends the connection is rejected like nonsense. A request is not waited for longer
// than InOptions.CallTimeout and the message's own expiration.
//
// # Out
//
// Messages are persistent and mandatory, and their message-id is the run's id
// (its SHA-256 if it has more than 255 bytes, and then the header Bellhop-Run
// has it). A run is ok when the broker has confirmed that a queue has the
// message. One that no queue takes (ErrUnroutable), that is refused (ErrNacked:
// a full queue for example) or that is not confirmed is a failed attempt, tried
// again as the run's policy says and a dead letter in the end. One that was not
// confirmed may be there: consumers see to message-id. While the broker is away
// or takes nothing, runs wait, as long as their timeout allows.
//
// # Properties and headers
//
//	property                      header of the ring, and of the trigger
//	content-type, -encoding       Content-Type, Content-Encoding
//	correlation-id, reply-to      Amqp-Correlation-Id, Amqp-Reply-To
//	type, app-id, expiration      Amqp-Type, Amqp-App-Id, Amqp-Expiration
//	priority, timestamp           Amqp-Priority, Amqp-Timestamp (RFC 3339)
//	message-id, user-id           Amqp-Message-Id, Amqp-User-Id
//	exchange, routing key         Amqp-Exchange, Amqp-Routing-Key
//	delivery-mode                 Amqp-Delivery-Mode, unless it is persistent
//	header with a line of text    a header of the same name (traceparent, …)
//	all other headers             Amqp-Headers, a JSON object: {"n":{"I":7}}
//
// Amqp-Headers keeps the types of the protocol's tables, by its letters: "t"
// boolean, "b" "B" "s" "u" "I" "i" 8 to 32 bits, "l" 64 bits as text, "f" "d"
// floating point as text, "D" [scale, value], "S" text and "S64" text that is no
// UTF-8 in base64, "x" bytes in base64, "T" Unix seconds, "F" a table, "A" a list,
// "V" nothing.
//
// An Out reads the same headers the other way, and adds Bellhop-Job,
// Bellhop-Channel, Bellhop-Due and Bellhop-Parent. It sets no user-id, which a
// broker refuses unless it is the connection's, and passes on nothing of what
// brokers themselves write about deaths and deliveries (x-death, …), over which
// they would drop a message as a circle. A header with several values is a list.
// A header that cannot be a property (an expiration that is no number, a type of
// more than 255 bytes) is a permanent failure of the run.
//
// Headers that begin with Nats- or Bellhop- come in from nowhere.
//
// # Trouble
//
// Connections are made again for ever, with growing waits and jitter, to each URL
// by turns. A connection that the broker blocks (it is short of memory or disk)
// stops Outs and answers, and no In. A deleted queue, a closed channel, a
// restarted broker: the Meter says what is wrong, and work goes on when it is
// mended.
package amqp
