package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// line is a message of a stream that nobody but one writer at a time appends to.
type line struct {
	subject string
	data    []byte
}

// appendSeries stores lines that come after last, each in the place behind the one
// before, waits for all of them, and gives the new end. Where it fails, some of the
// first ones may be stored, and none behind one that is not.
//
// It is what ADR-50 calls a fast batch (server 2.14, and a stream that allows them).
// The server stores each message as it comes, without the staging that an atomic
// batch goes through and that costs milliseconds, and it answers once. At the first
// that it refuses, or finds missing, it ends the series. That is what makes it as
// safe as one message: single ones that are sent without waiting could each meet
// another writer's end by chance.
//
//	seq 1, start ─► 2 ─► 3 ─► … ─► n, commit ──► one PubAck
//	                     └ refused: an error, and whatever follows is not stored
func appendSeries(ctx context.Context, nc *nats.Conn, lines []line, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	inbox := nc.NewInbox()
	answers := make(chan *nats.Msg, len(lines)+2) // that it has begun, how far it is, how it ended
	sub, err := nc.ChanSubscribe(inbox+".>", answers)
	if err != nil {
		return 0, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	reply := []byte(inbox + seriesTerms)
	fixed := len(reply)
	m := nats.Msg{Header: nats.Header{}} // one after the other: what is published is copied
	for i, l := range lines {
		m.Subject, m.Data = l.subject, l.data
		reply = strconv.AppendInt(reply[:fixed], int64(i+1), 10)
		m.Reply = string(append(reply, seriesOperation(i, len(lines))...))
		set(m.Header, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last+uint64(i), 10))
		if err := nc.PublishMsg(&m); err != nil {
			return 0, fmt.Errorf("append a series: %w", err)
		}
	}
	for {
		var answer *nats.Msg
		select {
		case answer = <-answers:
		case <-ctx.Done():
			return 0, fmt.Errorf("append a series: %w", ctx.Err())
		}
		switch {
		case bytes.Contains(answer.Data, flowAck): // how far it has come
			continue
		case bytes.Contains(answer.Data, flowGap):
			return 0, errors.New("append a series: a part of it was lost on the way")
		}
		seq, err := parseAck(answer)
		if want := last + uint64(len(lines)); err == nil && seq != want {
			err = fmt.Errorf("%w: the series ends at %d instead of %d", errRefused, seq, want)
		}
		return seq, err
	}
}

// A series is told by its reply subjects, which ADR-50 has end in
//
//	<batch>.<flow>.<gap>.<number>.<operation>.$FI
//
// with the inbox's last token as the batch. seriesTerms are the flow, after how many
// messages the server says how far it has come, as seldom as it can be; and the gap,
// which ends the series.
const seriesTerms = ".65535.fail."

// seriesOperation is the end of a reply subject.
func seriesOperation(i, n int) string {
	switch i {
	case n - 1:
		return ".2.$FI" // store and commit
	case 0:
		return ".0.$FI" // start
	}
	return ".1.$FI" // store
}

// What tells an answer on the way from the last one.
var flowAck, flowGap = []byte(`"type":"ack"`), []byte(`"type":"gap"`)
