package workers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoLetter means that there is no dead letter with an id: it was sent back to
// work or dropped, or it has aged out.
var ErrNoLetter = errors.New("there is no such dead letter")

// Letters are the dead letters of a namespace. They are safe for concurrent use.
type Letters struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	ns     Namespace
}

// OpenLetters binds to the dead letters of a namespace;
// jetstream.ErrStreamNotFound if nothing was set up there.
func OpenLetters(ctx context.Context, js jetstream.JetStream, ns Namespace) (*Letters, error) {
	s, err := js.Stream(ctx, ns.DeadStream())
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", ns.DeadStream(), err)
	}
	return &Letters{js, s, ns}, nil
}

// maxLetters is how many letters are looked at in one go, at most.
const maxLetters = 4 << 10

// List gives the letters that the filter wants, the newest first and without
// their payloads. It ends at the first error. Letters that come meanwhile are
// not among them.
func (l *Letters) List(ctx context.Context, f LetterFilter) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		info, err := l.stream.Info(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("read stream %s: %w", l.ns.DeadStream(), err))
			return
		}
		first, to := info.State.FirstSeq, info.State.LastSeq
		if f.Before > 0 {
			to = min(to, f.Before-1)
		}
		for size := uint64(firstPiece); to >= first && to > 0; size = min(2*size, maxLetters) {
			from := max(first, to-min(size, to)+1)
			letters, oldest, err := l.piece(ctx, f, from, to)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, letter := range slices.Backward(letters) {
				if !yield(letter, nil) {
					return
				}
			}
			if !oldest.IsZero() && oldest.Before(f.Since) {
				return
			}
			to = from - 1
		}
	}
}

// piece reads the wanted letters from one place to another, and when the first
// of those that were looked at was stored.
func (l *Letters) piece(ctx context.Context, f LetterFilter, from, to uint64) (letters []*Letter, oldest time.Time, err error) {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.subject(l.ns)}, OptStartSeq: from, HeadersOnly: true}
	err = kv.ReadStream(ctx, l.stream, c, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		if meta.Sequence.Stream > to {
			return false
		}
		letter := readLetter(l.ns, m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers())
		if letter.Omitted == "" {
			letter.Size, _ = strconv.Atoi(m.Headers().Get(nats.MsgSize))
		}
		if oldest.IsZero() {
			oldest = letter.Time
		}
		if f.Matches(letter) {
			letters = append(letters, letter)
		}
		return meta.Sequence.Stream < to
	})
	return letters, oldest, err
}

// Count tells how many letters the filter wants.
func (l *Letters) Count(ctx context.Context, f LetterFilter) (n int, err error) {
	if f == (LetterFilter{}) {
		info, err := l.stream.Info(ctx)
		if err != nil {
			return 0, fmt.Errorf("read stream %s: %w", l.ns.DeadStream(), err)
		}
		return int(info.State.Msgs), nil
	}
	for _, err := range l.List(ctx, f) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// Get reads a letter with its payload; ErrNoLetter if there is none.
func (l *Letters) Get(ctx context.Context, id uint64) (*Letter, error) {
	letter, m, err := l.read(ctx, id)
	if err == nil {
		letter.setPayload(m.Data)
	}
	return letter, err
}

func (l *Letters) read(ctx context.Context, id uint64) (*Letter, *jetstream.RawStreamMsg, error) {
	if id == 0 { // there, the server would give the last one
		return nil, nil, fmt.Errorf("read dead letter %d: %w", id, ErrNoLetter)
	}
	m, err := l.stream.GetMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = ErrNoLetter
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	return readLetter(l.ns, m.Subject, id, m.Time, m.Header), m, nil
}

// Drop deletes a letter for good; ErrNoLetter if there is none.
func (l *Letters) Drop(ctx context.Context, id uint64) error {
	err := l.stream.DeleteMsg(ctx, id)
	if err == nil {
		return nil
	}
	if _, _, gone := l.read(ctx, id); errors.Is(gone, ErrNoLetter) {
		return gone
	}
	return fmt.Errorf("drop dead letter %d: %w", id, err)
}
