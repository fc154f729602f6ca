package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == childArg {
		if err := beChild(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run measures as the arguments say, and prints the table.
func run(ctx context.Context, args []string, out, tell io.Writer) error {
	var p Plan
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(tell)
	f.IntVar(&p.N, "n", 10_000, "jobs that are due at one instant")
	f.IntVar(&p.Rate, "rate", 1000, "jobs a second of the steady part, at most 1000")
	f.IntVar(&p.Seconds, "seconds", 2, "how long the steady part takes")
	f.IntVar(&p.Runs, "runs", 3, "how often each is measured; the median counts")
	f.DurationVar(&p.Within, "within", 6*time.Minute, "how long all of it may take: no run is begun that would take longer")
	f.IntVar(&p.Killed, "killed", 1000, "jobs that are accepted before the server is killed; 0 does not kill it")
	only := f.String("only", "", "whom to measure, with commas between: bellhop, nats-schedules, river, asynq, gocron")
	format := f.String("o", "markdown", "how to print the table: markdown or json")
	target := f.String("write", "", "a file that has the two marks, to write the table between them")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("what is %q?", f.Arg(0))
	case min(p.N, p.Rate, p.Seconds, p.Runs) < 1 || p.Rate > 1000 || p.Killed < 0:
		return errors.New("-n, -rate, -seconds and -runs must be at least 1, and -rate at most 1000")
	case *format != "markdown" && *format != "json":
		return fmt.Errorf("-o %s: use markdown or json", *format)
	}
	entrants, err := chosen(*only)
	if err != nil {
		return err
	}
	t := Table{Machine: thisMachine(ctx), Plan: p}
	if t.Rows, err = compare(ctx, p, entrants, tell); err != nil {
		return err
	}
	if *target != "" {
		if err := write(*target, t.Markdown()); err != nil {
			return err
		}
	}
	text := t.Markdown()
	if *format == "json" {
		if text, err = t.JSON(); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, text)
	return err
}
