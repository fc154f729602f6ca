package jobs

import (
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/runs"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Run is bellhop job run.
type Run struct {
	Name        string  `arg:"" complete:"job" help:"The job's name."`
	Payload     *string `placeholder:"TEXT|@FILE|-" help:"Another payload than the job's."`
	PayloadJSON *string `name:"payload-json" placeholder:"JSON|@FILE|-" help:"The same, in JSON."`
	Follow      bool    `help:"Wait for the run's end, print its output, and exit as it did."`
}

// Run rings, and prints the run's id or, when it is followed, its output.
func (c *Run) Run(ctx context.Context, s *session.Session) error {
	payload, err := c.payload(s)
	if err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	return runs.Rung(ctx, s, link, c.Follow, func() (string, error) { return link.Jobs.Run(ctx, c.Name, payload) })
}

func (c *Run) payload(s *session.Session) (json.RawMessage, error) {
	switch {
	case c.Payload != nil && c.PayloadJSON != nil:
		return nil, session.Usage("leave out one of them", "--payload and --payload-json do not go together")
	case c.PayloadJSON != nil:
		b, err := s.Read(*c.PayloadJSON)
		if err != nil {
			return nil, err
		}
		return asJSON(b)
	case c.Payload != nil:
		b, err := s.Read(*c.Payload)
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(b) {
			return nil, session.Usage("ring the service itself: bellhop service trigger SERVICE @FILE", "--payload: a job can be run with a payload of UTF-8 text alone")
		}
		return scheduler.Text(string(b)), nil
	}
	return nil, nil
}
