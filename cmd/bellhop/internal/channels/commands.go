// Package channels is bellhop channel: how the ways from and to the outside fare.
package channels

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
)

// Commands are what can be typed after "bellhop channel".
type Commands struct {
	List List `cmd:"" aliases:"ls" help:"List the channels of every process: connected or not, how much, and the last trouble."`
}

// List is bellhop channel list.
type List struct {
	output.Flag
}

// Run lists.
func (c *List) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	all, err := channels.List(ctx, link.NC, link.Namespace)
	if err != nil {
		return err
	}
	if len(all) == 0 && (c.Output == output.Table || c.Output == output.Wide) {
		_, err := fmt.Fprintln(s.Out, "no process has channels: BELLHOP_CHANNELS names those of bellhop up and bellhop-bridge")
		return err
	}
	p := output.New(s.Out, c.Output, kind)
	for i := range all {
		if err := p.Print(&all[i]); err != nil {
			return err
		}
	}
	return p.Close()
}

type status = channels.Status

var kind = output.Kind[*status]{
	Columns: []output.Column[*status]{
		{Title: "CHANNEL", Text: func(s *status) string { return s.Kind }},
		{Title: "NAME", Text: func(s *status) string { return s.Name }},
		{Title: "STATE", Text: state},
		{Title: "RECEIVED", Text: func(s *status) string { return strconv.FormatUint(s.Received, 10) }},
		{Title: "RUNG", Text: func(s *status) string { return strconv.FormatUint(s.Rung, 10) }},
		{Title: "ANSWERED", Text: func(s *status) string { return strconv.FormatUint(s.Answered, 10) }},
		{Title: "REFUSED", Text: func(s *status) string { return strconv.FormatUint(s.Refused, 10) }},
		{Title: "PER SECOND", Text: func(s *status) string { return strconv.FormatFloat(s.Rate, 'f', 1, 64) }},
		{Title: "LAST ERROR", Text: lastError},
		{Title: "IN FLIGHT", Wide: true, Text: func(s *status) string { return strconv.Itoa(s.InFlight) }},
		{Title: "REQUEUED", Wide: true, Text: func(s *status) string { return strconv.FormatUint(s.Requeued, 10) }},
		{Title: "SINCE", Wide: true, Text: func(s *status) string { return s.Since.Format(time.RFC3339) }},
		{Title: "PROCESS", Wide: true, Text: func(s *status) string { return fmt.Sprintf("%s/%d", s.Host, s.Process) }},
	},
	Name: func(s *status) string { return s.Name },
	JSON: func(s *status) ([]byte, error) { return json.Marshal(s) },
}

func state(s *status) string {
	if s.Connected {
		return "connected"
	}
	return "away"
}

// lastError is the last trouble, and how long ago that was.
func lastError(s *status) string {
	if s.LastError == "" {
		return "-"
	}
	return fmt.Sprintf("%s ago: %s", time.Since(s.LastErrorAt).Round(time.Second), s.LastError)
}
