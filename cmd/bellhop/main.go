// Command bellhop is Bellhop's command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	_ "time/tzdata" // zones on machines that have none

	"github.com/alecthomas/kong"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/bench"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/channels"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/completion"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/cron"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/dead"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/doctor"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/jobs"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/runs"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/services"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/tokens"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/up"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
)

// commands are what can be typed after "bellhop".
type commands struct {
	session.Flags

	Up         upCommand           `cmd:"" help:"Run a NATS server, a scheduler and a worker in this process."`
	Work       workCommand         `cmd:"" help:"Run a program as a service."`
	Job        jobs.Commands       `cmd:"" help:"Make, change, list and delete jobs."`
	Service    services.Commands   `cmd:"" help:"List, ring and call services."`
	Run        runs.Commands       `cmd:"" help:"Look at what was run."`
	Dead       dead.Commands       `cmd:"" help:"Look at what has failed for good, and send it back to work."`
	Channel    channels.Commands   `cmd:"" help:"Look at the ways from and to the outside."`
	Watch      runs.Watch          `cmd:"" help:"Show runs as they end."`
	Cron       cron.Commands       `cmd:"" help:"Explain cron expressions."`
	Token      tokens.Commands     `cmd:"" help:"Make tokens for HTTP."`
	Doctor     doctor.Command      `cmd:"" help:"Look for what does not work, and say what to do."`
	Bench      bench.Command       `cmd:"" help:"Measure what this machine and its NATS can carry."`
	BenchPart  bench.PartCommand   `cmd:"" hidden:""`
	Completion completion.Script   `cmd:"" help:"Print the completion script of a shell."`
	Complete   completion.Complete `cmd:"" hidden:""`
	Version    versionCommand      `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	helped := false
	parser, err := kong.New(&c,
		kong.Name("bellhop"),
		kong.Description("Bellhop rings services on time, over NATS."),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}),
		kong.Help(help),
		kong.Exit(func(int) { helped = true }), // after --help
	)
	if err != nil {
		return process.Exit(stderr, "bellhop", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	switch {
	case helped:
		return session.ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "bellhop: %v\n  %s --help shows what there is\n", err, path(command, err))
		return session.ExitUsage
	}
	ctx, stop := process.Interruptible(context.Background())
	defer stop()
	s := &session.Session{Flags: c.Flags, In: stdin, Out: stdout, Err: stderr}
	command.BindTo(ctx, (*context.Context)(nil))
	return s.Exit(command.Run(s))
}

// path is the command that an error is about, as far as it could be read.
func path(command *kong.Context, err error) string {
	if e, ok := errors.AsType[*kong.ParseError](err); ok {
		command = e.Context
	}
	words := "bellhop"
	if command == nil || command.Selected() == nil {
		return words
	}
	for _, step := range command.Path {
		if step.Command != nil {
			words += " " + step.Command.Name
		}
	}
	return words
}

// help is what --help prints. The configuration and the exit codes are told
// where nothing else is.
func help(o kong.HelpOptions, command *kong.Context) error {
	if err := kong.DefaultHelpPrinter(o, command); err != nil {
		return err
	}
	if command.Selected() != nil && command.Selected().Name != "up" {
		return nil
	}
	fmt.Fprintf(command.Stdout, "\n%s\n", session.ExitCodes)
	return config.Table(command.Stdout)
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s *session.Session) error {
	_, err := fmt.Fprintln(s.Out, process.Version("bellhop"))
	return err
}

type upCommand struct {
	Demo bool `help:"Put a few jobs to look at."`
}

// Run runs until a signal comes.
func (u upCommand) Run(ctx context.Context, s *session.Session) error {
	c, err := s.Config(config.DefaultHTTPAddr)
	if err != nil {
		return err
	}
	return up.Run(ctx, c, up.Options{
		Command: called(os.Args[0]),
		Demo:    u.Demo,
		Out:     s.Out,
		Colour:  screen.Colourful(s.Out),
		Logger:  slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{ReplaceAttr: shortTime})),
	})
}

// called is how to call this program again: `go run` puts it where nobody looks.
func called(path string) string {
	if strings.Contains(path, "go-build") {
		return "go run ./cmd/bellhop"
	}
	return "bellhop"
}

// shortTime leaves the day and the zone out of log lines: somebody watches.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return a
}
