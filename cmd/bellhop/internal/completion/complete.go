// Package completion completes what is typed: commands, flags, their values,
// and the names of jobs and services.
//
//	bash, zsh, fish ──► bellhop complete -- WORDS ──► one candidate a line
//
// The scripts are small: all that is known is asked of the command itself.
package completion

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/bench"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/services"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Bounds of what is asked of a server: somebody waits with a finger on the key.
const (
	patience = 2 * time.Second        // for all of it
	noLeader = 300 * time.Millisecond // for a scheduler that leads
	most     = 200                    // candidates
)

// Complete is the hidden command that the shells' scripts call.
type Complete struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words up to the cursor, without the first; the last one is being typed."`
}

// Run prints candidates, each with its help after a tab. Whatever goes wrong,
// it prints nothing of it: it would stand in the middle of what is typed.
func (c *Complete) Run(ctx context.Context, s *session.Session, command *kong.Context) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	p := read(command.Model.Node, words)
	all := p.fixed()
	if kind := p.kind(); kind != "" && (!strings.HasPrefix(p.word, "-") || p.plain) {
		quiet := &session.Session{Flags: s.Flags, In: s.In, Out: s.Out, Err: io.Discard}
		quiet.Wait = noLeader
		for flag, to := range map[string]*string{"server": &quiet.Server, "context": &quiet.Flags.Context, "namespace": &quiet.Namespace} {
			if v := p.flags[flag]; v != "" {
				*to = v
			}
		}
		all = append(all, names(ctx, quiet, kind, p)...)
	}
	out := bufio.NewWriter(s.Out)
	for _, w := range all {
		if w.Help = strings.TrimSpace(w.Help); w.Help != "" {
			w.Text += "\t" + w.Help
		}
		fmt.Fprintln(out, w.Text)
	}
	return out.Flush()
}

// names asks for the names that begin with what is typed.
func names(ctx context.Context, s *session.Session, kind string, p place) []Word {
	if kind == "bench" {
		return benches(p)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return nil
	}
	defer link.Close()
	var all []Word
	add := func(name, help string) bool {
		if strings.HasPrefix(name, p.word) {
			all = append(all, Word{p.glue + name, help})
		}
		return len(all) < most
	}
	switch kind {
	case "job":
		for j, err := range link.Jobs.List(ctx, scheduler.Filter{Prefix: p.word, Limit: most}) {
			if err != nil || !add(j.Name, j.Service) {
				break
			}
		}
	case "letter":
		for l, err := range link.Jobs.Letters(ctx, scheduler.LetterFilter{Limit: most}) {
			if err != nil || !add(strconv.FormatUint(l.ID, 10), l.Service+": "+screen.OneLine(l.Reason)) {
				break
			}
		}
	case "service":
		known := services.Known(ctx, link)
		for _, name := range known {
			if !add(name, "") {
				break
			}
		}
	}
	return all
}

// benches are known without asking anybody.
func benches(p place) []Word {
	var all []Word
	for _, b := range bench.All() {
		if strings.HasPrefix(b.Name, p.word) {
			all = append(all, Word{p.glue + b.Name, b.About})
		}
	}
	return all
}
