package channels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/bellhop-run/bellhop/workers"
)

// Channel rings services for the outside until ctx is done; then it takes
// nothing new, lets what is in flight be acknowledged, and returns.
type Channel interface {
	Run(ctx context.Context, d *workers.Dispatcher) error
}

// ErrUnknownService means that no worker has ever run the service: see Directory.
var ErrUnknownService = errors.New("no worker has ever run this service")

// Permanent sorts the errors of a ring or a call: true for what no repetition
// can heal, false for passing trouble. Whoever refuses a ring for a reason of its
// own wraps workers.ErrRefused.
func Permanent(err error) bool {
	if errors.Is(err, workers.ErrRefused) || errors.Is(err, ErrUnknownService) || workers.IsPermanent(err) {
		return true
	}
	failure, ok := errors.AsType[*workers.CallError](err)
	return ok && failure.Code >= 400 && failure.Code < 500
}

// maxBound is how long, escaped, an id or a source may become, in bytes: with
// two of them a run's id stays below what a worker takes.
const maxBound = 450

// Bound gives a Ring.ID or Ring.Source for any text of the outside: itself, and
// in place of one that is too long for a run's id its SHA-256, which is as good
// at telling one from another.
func Bound(text string) string {
	if len(text) <= 255 && len(workers.Escape(text)) <= maxBound {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + hex.EncodeToString(sum[:])
}
