package up

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers/stock"
)

// once is how far ahead the one-time job of the demo is.
const once = 10 * time.Second

// demoJobs are one of each kind, at a time.
func demoJobs(now time.Time) []scheduler.Job {
	return []scheduler.Job{{
		Name:     "My Sample",
		Service:  stock.LogInput,
		Schedule: scheduler.Schedule{Every: scheduler.Duration(2 * time.Second)},
		Payload:  scheduler.Text("hello"),
	}, {
		Name:     "On the minute",
		Service:  stock.Echo,
		Schedule: scheduler.Schedule{Cron: "* * * * *"},
		Payload:  scheduler.Text("another minute"),
	}, {
		Name:     "Just once",
		Service:  stock.LogInput,
		Schedule: scheduler.Schedule{At: now.Add(once).Round(time.Second).UTC()},
		Payload:  scheduler.Text("now or never"),
	}}
}

// demo puts the demo's jobs where they are missing. What is there was perhaps
// changed by its user and stays; only the one-time job is made anew, for its
// time has passed.
func demo(ctx context.Context, client *scheduler.Client, jobs []scheduler.Job) error {
	for _, job := range jobs {
		put := client.Create
		if !job.Schedule.At.IsZero() {
			put = client.Put
		}
		const exists = 409
		if _, err := put(ctx, &job); err != nil && scheduler.Code(err) != exists {
			return fmt.Errorf("put demo job %q: %w", job.Name, err)
		}
	}
	return nil
}
