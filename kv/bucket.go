package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The refusals that callers branch on.
var (
	// ErrNotFound means that there is no such key, or no such bucket.
	ErrNotFound = errors.New("not found")
	// ErrExists means that a key to be created is there already.
	ErrExists = errors.New("exists")
	// ErrConflict means that the key's revision is not the expected one.
	ErrConflict = errors.New("revision conflict")
	// ErrIncomplete means that a part of a batch has not come to where the rest has,
	// as when the bucket's stream has another leader in between. Nothing is stored.
	ErrIncomplete = errors.New("a part of the batch is missing")
)

// Config is how a bucket is made.
type Config struct {
	// Bucket is its name.
	Bucket string
	// History is how many revisions of a key are kept, 1 to 64; 0 means 1.
	History int
	// Replicas is on how many servers it is kept, 1 to 5; 0 means 1.
	Replicas int
	// Expiry allows a Change to have a TTL.
	Expiry bool
}

// Create makes the bucket when it is missing. One that is there keeps its
// settings but for those that Bucket needs: atomic batches on, direct get off,
// and expiry where it is asked for.
func Create(ctx context.Context, js jetstream.JetStream, c Config) error {
	cfg := jetstream.StreamConfig{
		Name:               streamName(c.Bucket),
		Subjects:           []string{"$KV." + c.Bucket + ".>"},
		MaxMsgsPerSubject:  int64(max(c.History, 1)),
		Discard:            jetstream.DiscardNew,
		Storage:            jetstream.FileStorage,
		Replicas:           max(c.Replicas, 1),
		AllowRollup:        true,
		DenyDelete:         true,
		AllowAtomicPublish: true,
		AllowMsgTTL:        c.Expiry,
	}
	have, err := Ensure(ctx, js, cfg)
	if err != nil {
		return fmt.Errorf("create bucket %s: %w", c.Bucket, err)
	}
	if have.AllowAtomicPublish && !have.AllowDirect && (have.AllowMsgTTL || !c.Expiry) {
		return nil
	}
	have.AllowAtomicPublish, have.AllowDirect = true, false
	have.AllowMsgTTL = have.AllowMsgTTL || c.Expiry
	if _, err := js.UpdateStream(ctx, have); err != nil {
		return fmt.Errorf("bucket %s: allow atomic batches: %w", c.Bucket, err)
	}
	return nil
}

// Ensure makes the stream when it is missing, and gives the settings that it
// has. It is looked for first: who may only use it need not be allowed to make
// it.
func Ensure(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = js.CreateStream(ctx, want)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else was faster
		s, err = js.Stream(ctx, want.Name)
	}
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	return s.CachedInfo().Config, nil
}

func streamName(bucket string) string { return "KV_" + bucket }

// Bucket is a KV bucket whose values are T in JSON; []byte is kept as it is.
// It is safe for concurrent use.
type Bucket[T any] struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	prefix string // of a key's subject
}

// Open binds to a bucket that is there; ErrNotFound if it is not.
func Open[T any](ctx context.Context, js jetstream.JetStream, bucket string) (*Bucket[T], error) {
	s, err := js.Stream(ctx, streamName(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	return &Bucket[T]{js: js, stream: s, prefix: "$KV." + bucket + "."}, nil
}

// Entry is one revision of one key.
type Entry[T any] struct {
	Key   string
	Value T
	// Revision is the stream sequence of the write.
	Revision uint64
	// Created is the server's time of the write.
	Created time.Time
	// Deleted means that this revision ended the key; there is no Value.
	Deleted bool
	// Note is what its writer has said of it: see Change.
	Note string
	// Err says why Value could not be decoded; Get returns it as its error.
	Err error
}

// Get reads the key's present revision from the stream's leader. A key that
// was deleted is ErrNotFound; the entry's Revision is then the deletion's.
func (b *Bucket[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	m, err := b.stream.GetLastMsgForSubject(ctx, b.prefix+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Entry[T]{Key: key}, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return Entry[T]{Key: key}, fmt.Errorf("get %s: %w", key, err)
	}
	e := b.entry(m.Subject, m.Header, m.Data, m.Sequence, m.Time)
	if e.Deleted {
		return e, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	return e, e.Err
}

// Next reads the first revision after the given one, of any key, from the
// stream's leader; ErrNotFound if there is none yet.
func (b *Bucket[T]) Next(ctx context.Context, after uint64) (Entry[T], error) {
	m, err := b.stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(b.prefix+">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Entry[T]{}, ErrNotFound
	}
	if err != nil {
		return Entry[T]{}, fmt.Errorf("read revision %d: %w", after+1, err)
	}
	return b.entry(m.Subject, m.Header, m.Data, m.Sequence, m.Time), nil
}

// History gives the revisions of a key that the bucket still holds, the oldest
// first, from the stream's leader. Its deletion is one of them.
func (b *Bucket[T]) History(ctx context.Context, key string) (all []Entry[T], err error) {
	for next := uint64(1); ; {
		m, err := b.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(b.prefix+key))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", key, err)
		}
		all = append(all, b.entry(m.Subject, m.Header, m.Data, m.Sequence, m.Time))
		next = m.Sequence + 1
	}
}

// Last gives the bucket's last revision, as the stream's leader knows it.
func (b *Bucket[T]) Last(ctx context.Context) (uint64, error) {
	info, err := b.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read last revision: %w", err)
	}
	return info.State.LastSeq, nil
}

// entry makes an Entry of a stored message.
func (b *Bucket[T]) entry(subject string, h nats.Header, data []byte, seq uint64, at time.Time) Entry[T] {
	e := Entry[T]{Key: subject[len(b.prefix):], Revision: seq, Created: at, Note: h.Get(noteHeader)}
	if ended(h) {
		e.Deleted = true
		return e
	}
	if raw, ok := any(&e.Value).(*[]byte); ok {
		*raw = data
		return e
	}
	if err := json.Unmarshal(data, &e.Value); err != nil {
		e.Err = fmt.Errorf("decode %s: %w", e.Key, err)
	}
	return e
}

// ended tells a deletion: by a client, or by the server's own marker (ADR-43).
func ended(h nats.Header) bool {
	if len(h) == 0 {
		return false
	}
	op := h.Get("KV-Operation")
	return op == "DEL" || op == "PURGE" || h.Get("Nats-Marker-Reason") != ""
}

// Create writes a key that is not there, or no longer; ErrExists if it is.
func (b *Bucket[T]) Create(ctx context.Context, key string, v T) (uint64, error) {
	rev, err := b.Update(ctx, key, v, 0)
	if !errors.Is(err, ErrConflict) {
		return rev, err
	}
	// A deleted key's last message is its marker: replace exactly that one.
	e, err := b.Get(ctx, key)
	if err == nil || e.Err != nil {
		return 0, fmt.Errorf("create %s: %w", key, ErrExists)
	}
	if !errors.Is(err, ErrNotFound) || !e.Deleted {
		return 0, err
	}
	rev, err = b.Update(ctx, key, v, e.Revision)
	if errors.Is(err, ErrConflict) {
		return 0, fmt.Errorf("create %s: %w", key, ErrExists)
	}
	return rev, err
}

// Update writes a key whose present revision is the given one, 0 for a key
// that never was; ErrConflict if it is not.
func (b *Bucket[T]) Update(ctx context.Context, key string, v T, revision uint64) (uint64, error) {
	return b.Write(ctx, Change[T]{Key: key, Value: v, Revision: revision})
}

// Write carries out one change, and returns the revision that it made;
// ErrConflict means that the key's present one is another.
func (b *Bucket[T]) Write(ctx context.Context, c Change[T]) (uint64, error) {
	value, err := c.encode()
	if err != nil {
		return 0, err
	}
	m := &nats.Msg{Header: nats.Header{}}
	b.message(m, &c, value)
	return b.publish(ctx, m)
}

// Delete ends a key whose present revision is the given one and purges its
// history; ErrConflict if it has another. The marker's revision is returned.
func (b *Bucket[T]) Delete(ctx context.Context, key string, revision uint64) (uint64, error) {
	return b.Write(ctx, Change[T]{Key: key, Revision: revision, Delete: true})
}

// Change is one write of an Apply.
type Change[T any] struct {
	Key   string
	Value T
	// Revision is what the key's present one must be; 0 for none.
	Revision uint64
	// Delete ends the key; Value is ignored.
	Delete bool
	// TTL is how long the server keeps this revision, a deletion's marker, too:
	// whole seconds, at least one; 0 is for ever. The bucket must have been made
	// with Config.Expiry.
	TTL time.Duration
	// Note is stored with the change, in a header of its own, and with no other:
	// one line of at most a few KiB, empty for none.
	Note string
}

// noteHeader is where the note is.
const noteHeader = "Bellhop-Note"

// encode gives the value as it is stored, nothing for a deletion.
func (c *Change[T]) encode() ([]byte, error) {
	if c.Delete {
		return nil, nil
	}
	if raw, ok := any(c.Value).([]byte); ok {
		return raw, nil
	}
	data, err := json.Marshal(c.Value)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Key, err)
	}
	return data, nil
}

// message makes m, which may have been used for another, the one that carries out
// one change.
func (b *Bucket[T]) message(m *nats.Msg, c *Change[T], value []byte) {
	clear(m.Header)
	m.Subject, m.Data = b.prefix+c.Key, value
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(c.Revision, 10))
	if c.Note != "" {
		m.Header.Set(noteHeader, c.Note)
	}
	if c.TTL > 0 {
		m.Header.Set(jetstream.MsgTTLHeader, strconv.Itoa(max(1, int(c.TTL/time.Second))))
	}
	if c.Delete {
		m.Header.Set("KV-Operation", "PURGE")
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
}

func (b *Bucket[T]) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	ack, err := b.js.PublishMsg(ctx, m)
	if err != nil {
		return 0, writeError(m.Subject[len(b.prefix):], err)
	}
	return ack.Sequence, nil
}

// codeIncompleteBatch is the server's JSAtomicPublishIncompleteBatchErr.
const codeIncompleteBatch jetstream.ErrorCode = 10176

// writeError tells a lost race, and a batch that fell between two leaders, from every
// other failure. A replicated stream has a code of its own for the first.
func writeError(key string, err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch api.ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			err = ErrConflict
		case codeIncompleteBatch:
			err = ErrIncomplete
		}
	}
	return fmt.Errorf("write %s: %w", key, err)
}
