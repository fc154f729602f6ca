package bench

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServerOptions are those of the part "server".
type ServerOptions struct {
	// Dir is its store; Remove is removed when the parent is gone, and nobody
	// else does it.
	Dir, Remove string
	// Sync syncs every write, where it would be once a second otherwise.
	Sync bool
	// Name, ClusterPort and Routes make it one of a cluster.
	Name        string
	ClusterPort int
	Routes      []string
}

// serverPart is a NATS server, with the settings of bellhop up.
func serverPart(ctx context.Context, in *Inside) error {
	var o ServerOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	opts := &server.Options{
		ServerName: o.Name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: o.Dir, JetStreamMaxStore: 1 << 40,
		SyncAlways: o.Sync, SyncInterval: time.Second,
	}
	if o.ClusterPort > 0 {
		opts.Routes = server.RoutesFromStr(strings.Join(o.Routes, ","))
		opts.Cluster = server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: o.ClusterPort}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	in.orphan = func() {
		s.Shutdown()
		_ = os.RemoveAll(o.Remove) // nobody is left to be told
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return errors.New("the server does not start")
	}
	if err := in.Say(map[string]string{"url": s.ClientURL()}); err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
