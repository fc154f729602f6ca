//go:build unix

package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/bellhop-run/bellhop/channels/amqp/rabbit"
)

// broker gives the URL of a RabbitMQ: the one of --amqp, or a private node that end
// ends. Why there is none is text for people.
func (e *Env) broker(ctx context.Context) (url, none string, end func(), err error) {
	if e.amqp != "" {
		return e.amqp, "", func() {}, nil
	}
	dir := filepath.Join(e.dir, "rabbit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", nil, err
	}
	e.Progress("RabbitMQ is started")
	n, err := rabbit.Start(ctx, rabbit.Options{Dir: dir, Env: os.Environ()})
	if errors.Is(err, rabbit.ErrMissing) {
		return "", err.Error() + ", or name one with --amqp", nil, nil
	}
	if err != nil {
		return "", "", nil, err
	}
	return n.URL, "", func() {
		n.Close()
		_ = os.RemoveAll(dir) // else with all that the bench has left
	}, nil
}
