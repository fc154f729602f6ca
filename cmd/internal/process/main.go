// Package process is what the processes have in common: how they start, what
// signals mean to them, what they log, and with which code they exit.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
)

// The codes that processes exit with.
const (
	ExitOK     = 0 // also after SIGINT and SIGTERM
	ExitFailed = 1
	ExitConfig = 2 // the configuration or the command line cannot be right
)

// Daemon is a program that takes no arguments and runs until it is told to stop.
type Daemon struct {
	// Name is what it is called.
	Name string
	// About is what it does, in a sentence, for -h.
	About string
	// Run blocks until ctx is done and all is drained.
	Run func(ctx context.Context, c config.Config, log *slog.Logger) error
}

// Main runs the daemon, with the arguments that follow its name, and gives the
// code to exit with.
func (d Daemon) Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		return d.answer(args[0], stdout, stderr)
	}
	c, err := config.Load("")
	if err != nil {
		return Exit(stderr, d.Name, err)
	}
	ctx, stop := Interruptible(context.Background())
	defer stop()
	log := slog.New(slog.NewTextHandler(stderr, nil))
	log.Info("starting", "program", d.Name, "version", workers.Version, "nats", c.NATS.String(), "namespace", c.Namespace)
	err = d.Run(ctx, c, log)
	if stopped := ctx.Err() != nil && errors.Is(err, context.Canceled); err != nil && !stopped {
		return Exit(stderr, d.Name, err)
	}
	log.Info("stopped", "program", d.Name)
	return ExitOK
}

// answer is for what is not an order to run.
func (d Daemon) answer(arg string, stdout, stderr io.Writer) int {
	switch arg {
	case "-h", "--help", "-help":
		fmt.Fprintf(stdout, "%s %s: %s\n\n", d.Name, workers.Version, d.About)
		if err := config.Table(stdout); err != nil {
			return Exit(stderr, d.Name, err)
		}
		return ExitOK
	case "--version", "-version":
		fmt.Fprintln(stdout, Version(d.Name))
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: unexpected argument %q: it is configured by the environment, which -h explains\n", d.Name, arg)
	return ExitConfig
}

// Version is a program's version and what it was built with and for.
func Version(name string) string {
	return fmt.Sprintf("%s %s (%s, %s/%s)", name, workers.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// Exit says why a program ends and gives the code to exit with.
func Exit(stderr io.Writer, name string, err error) int {
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	if _, ok := errors.AsType[*config.Error](err); ok {
		return ExitConfig
	}
	return ExitFailed
}

// Abandon has f called when a second SIGINT or SIGTERM comes, which then ends the
// process; until stop is called. It is for what would outlive the process.
func Abandon(f func()) (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for n := 1; ; n++ {
			select {
			case s := <-signals:
				if n == 2 {
					f()
					number, _ := s.(syscall.Signal)
					os.Exit(exitSignal + int(number))
				}
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(done)
		watching.Wait()
	})
}

// exitSignal is what shells add to a signal's number.
const exitSignal = 128

// Interruptible gives a context that ends with the first SIGINT or SIGTERM. The
// second one then does what it does by default: it ends the process at once.
func Interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before anybody learns of the first
		cancel()
	}()
	return ctx, cancel
}
