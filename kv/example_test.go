package kv_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Every write says which revision it replaces: of two writers that have read
// the same one, one is told that it was too late.
func Example() {
	dir, err := os.MkdirTemp("", "kv")
	must(err)
	defer os.RemoveAll(dir)
	s, err := server.NewServer(&server.Options{JetStream: true, DontListen: true, NoSigs: true, NoLog: true, StoreDir: dir})
	must(err)
	s.Start()
	defer s.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	must(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(err)

	type room struct{ Guest string }
	ctx := context.Background()
	must(kv.Create(ctx, js, kv.Config{Bucket: "rooms"}))
	rooms, err := kv.Open[room](ctx, js, "rooms")
	must(err)

	first, err := rooms.Create(ctx, "101", room{"Ada"})
	must(err)
	_, err = rooms.Update(ctx, "101", room{"Grace"}, first)
	must(err)
	_, err = rooms.Update(ctx, "101", room{"Edsger"}, first)
	fmt.Println("too late:", errors.Is(err, kv.ErrConflict))
	e, err := rooms.Get(ctx, "101")
	must(err)
	fmt.Println(e.Key, e.Value.Guest)
	// Output:
	// too late: true
	// 101 Grace
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
