package stock_test

import (
	"log/slog"
	"os"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/stock"
	"github.com/nats-io/nats.go"
)

// A worker of one's own with the stock services beside others.
func ExampleRegister() {
	nc, err := nats.Connect(nats.DefaultURL)
	if err != nil {
		return // no server here
	}
	defer nc.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	w := workers.New(nc, workers.Options{Logger: log})
	stock.Register(w, log)
	// w.Run(ctx) serves them.
}
