package wiring

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	jobs "github.com/bellhop-run/bellhop/scheduler/web"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// Jobs makes what the front serves of jobs: REST and the dashboard.
func Jobs(nc *nats.Conn, ns workers.Namespace, front *web.Front, log *slog.Logger) (*jobs.Handler, error) {
	return jobs.New(nc, jobs.Options{
		Namespace: ns,
		Caller: func(r *http.Request) jobs.Caller {
			return jobs.Caller{Name: web.Caller(r), Role: roles[web.RoleOf(r)]}
		},
		Channels: func(ctx context.Context) ([]jobs.Channel, error) {
			all, err := channels.List(ctx, nc, ns)
			out := make([]jobs.Channel, len(all))
			for i, s := range all {
				out[i] = jobs.Channel(s)
			}
			return out, err
		},
		Prefix:   web.Prefix,
		Sessions: front.HasTokens(),
		Logger:   log,
	})
}

// roles are those of the guard, as the handler has them.
var roles = map[web.Role]jobs.Role{web.NoRole: jobs.Nobody, web.Viewer: jobs.Viewer, web.Operator: jobs.Operator, web.Admin: jobs.Admin}
