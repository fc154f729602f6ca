package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// gatherFirst is how long the first answer may take, and the whole of it.
	gatherFirst = 2 * time.Second
	// gatherQuiet is how long nobody may answer before all have.
	gatherQuiet = 150 * time.Millisecond
)

// Gather asks everybody who listens on a subject, and gives their answers to fn
// as they come. How many there are nobody knows: it ends when none has come for
// 150 ms, or none at all, after two seconds at the latest. That nobody listens,
// which the server says at once, is no error.
func Gather(ctx context.Context, nc *nats.Conn, subject string, question []byte, fn func(*nats.Msg)) error {
	failed := func(err error) error { return fmt.Errorf("ask %s: %w", subject, err) }
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	if err := nc.PublishRequest(subject, inbox, question); err != nil {
		return failed(err)
	}
	all, cancel := context.WithTimeout(ctx, gatherFirst)
	defer cancel()
	for quiet := gatherFirst; ; quiet = gatherQuiet {
		within, cancel := context.WithTimeout(all, quiet)
		m, err := sub.NextMsgWithContext(within)
		cancel()
		switch {
		case err == nil:
			fn(m)
		case ctx.Err() != nil:
			return failed(ctx.Err())
		case errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded):
			return nil // nobody, or nobody else
		default:
			return failed(err)
		}
	}
}
