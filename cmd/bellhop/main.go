// Command bellhop is Bellhop's command line.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	_ "time/tzdata" // zones on machines that have none

	"github.com/alecthomas/kong"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/up"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
)

// commands are what can be typed after "bellhop".
type commands struct {
	Up      upCommand      `cmd:"" help:"Run a NATS server, a scheduler and a worker in this process."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	var c commands
	helped := false
	parser, err := kong.New(&c,
		kong.Name("bellhop"),
		kong.Description("Bellhop rings services on time, over NATS."),
		kong.Writers(stdout, stderr),
		kong.Help(func(o kong.HelpOptions, ctx *kong.Context) error {
			if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
				return err
			}
			fmt.Fprintln(stdout)
			return config.Table(stdout)
		}),
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
		return process.ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "bellhop: %v; bellhop --help shows what there is\n", err)
		return process.ExitConfig
	}
	if err := command.Run(); err != nil {
		return process.Exit(stderr, "bellhop", err)
	}
	return process.ExitOK
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(c *kong.Context) error {
	_, err := fmt.Fprintln(c.Stdout, process.Version("bellhop"))
	return err
}

type upCommand struct {
	Demo bool `help:"Put a few jobs to look at."`
}

// Run runs until a signal comes.
func (u upCommand) Run(k *kong.Context) error {
	c, err := config.Load(config.DefaultHTTPAddr)
	if err != nil {
		return err
	}
	ctx, stop := process.Interruptible(context.Background())
	defer stop()
	return up.Run(ctx, c, up.Options{
		Demo:   u.Demo,
		Out:    k.Stdout,
		Colour: colourful(k.Stdout),
		Logger: slog.New(slog.NewTextHandler(k.Stderr, &slog.HandlerOptions{ReplaceAttr: shortTime})),
	})
}

// colourful says whether w is a terminal whose user has not asked for none.
func colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// shortTime leaves the day and the zone out of log lines: somebody watches.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return a
}
