// Package channels is what every way between Bellhop and the outside has in
// common: the contract, the figures and how these are found.
//
// A channel takes what comes from outside and rings a service with it, unopened:
//
//	queue, request, … ─► Channel ─► Dispatcher.Ring ─► stream <ns>-rings ─► worker
//	      ▲                 │              │
//	      └── acknowledged ─┴── stored ◄───┘
//
// # The contract
//
//   - The acknowledgement travels with the message: the source is told that a
//     message is taken when NATS has stored its ring, and not before. A process
//     that dies in between leaves the message with its source, which gives it
//     again: nothing is lost, and what comes twice has the same run id (Bound).
//   - What the source can name keeps that name: an id of the source's own is
//     Ring.ID, and where it is unique is Ring.Source.
//   - Payloads pass byte for byte, content type, traces and headers with them;
//     headers that begin with Nats- or Bellhop- do not, whoever sends them.
//   - Trouble is of two kinds (Permanent): what no repetition can heal is refused
//     on the channel's own terms, anything else is tried again after a wait that
//     grows (Backoff).
//   - What is under way is bounded.
//   - A channel that is stopped takes nothing new, lets what is under way be
//     acknowledged, and returns. One that loses the outside comes back to it by
//     itself, for ever, and its Meter says so.
//   - No payload is ever logged.
//
// Package channels/channeltest is the same as a suite of tests.
//
// # How channels are found
//
// Each has a Meter, which counts what it does, knows how it fares and is a
// prometheus.Collector. Serve answers for the meters of a process on
// <ns>.channels, and List asks every process.
package channels
