package scheduler_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// running runs a NATS server and a scheduler in this process, and connects to
// them as a service would.
func running() (nc *nats.Conn, stop func()) {
	runtime.GC() // empties the client library's pool of timers: some are of
	runtime.GC() // another test's fake clock
	dir, err := os.MkdirTemp("", "bellhop")
	if err != nil {
		log.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		log.Fatal(err)
	}
	s.Start()
	nc, err = nats.Connect("", nats.InProcessServer(s), nats.ReconnectBufSize(-1))
	if err != nil {
		log.Fatal(err)
	}
	bells, err := scheduler.New(nc, scheduler.Options{Embedded: true})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bells.Run(ctx) }()
	return nc, func() {
		cancel()
		if err := <-done; err != nil {
			log.Print(err)
		}
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
		_ = os.RemoveAll(dir) // what stays is in the system's temporary directory
	}
}

// Whoever keeps definitions of his own applies them, as often as he likes: what is
// stored so already is left alone.
func ExampleClient_Apply() {
	nc, stop := running()
	defer stop()
	jobs := scheduler.NewClient(nc, "")

	b := scheduler.Batch{Put: []*scheduler.Job{
		{Name: "Ebb", Service: "tides", Schedule: scheduler.Schedule{Every: scheduler.Duration(12 * time.Hour)}},
		{Name: "Flood", Service: "tides", Schedule: scheduler.Schedule{Cron: "30 6 * * *"}},
	}}
	for range 2 {
		done, err := jobs.Apply(context.Background(), b)
		if err != nil {
			log.Fatal(err)
		}
		for _, a := range done {
			fmt.Println(a.Name, a.Action)
		}
	}
	// Output:
	// Ebb created
	// Flood created
	// Ebb unchanged
	// Flood unchanged
}

// A service makes a job for itself. When Create returns, the job is in the
// log's hands: it is rung even if every process dies now and comes back.
func ExampleClient_Create() {
	nc, stop := running()
	defer stop()
	jobs := scheduler.NewClient(nc, "")

	job, err := jobs.Create(context.Background(), &scheduler.Job{
		Name:     "nightly invoices",
		Service:  "billing",
		Schedule: scheduler.Schedule{Cron: "30 2 * * *", TimeZone: "Europe/Berlin"},
		Payload:  scheduler.Text("all customers"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.Name, "is", job.State)

	_, err = jobs.Create(context.Background(), job)
	fmt.Println(scheduler.Code(err), err)
	// Output:
	// nightly invoices is active
	// 409 name: the job "nightly invoices" exists (use put to replace it or update to change it)
}

// List goes through all jobs, page by page.
func ExampleClient_List() {
	nc, stop := running()
	defer stop()
	jobs, ctx := scheduler.NewClient(nc, ""), context.Background()
	for _, name := range []string{"mail: digest", "mail: welcome", "report"} {
		_, err := jobs.Create(ctx, &scheduler.Job{Name: name, Service: "s", Schedule: scheduler.Schedule{Every: scheduler.Duration(time.Hour)}})
		if err != nil {
			log.Fatal(err)
		}
	}
	if _, err := jobs.Deactivate(ctx, "mail: digest"); err != nil {
		log.Fatal(err)
	}

	for job, err := range jobs.List(ctx, scheduler.Filter{Prefix: "mail:"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job.Name, job.State, job.Reason)
	}
	// Output:
	// mail: digest inactive deactivated
	// mail: welcome active
}

// NextOf tries a schedule out before it is stored.
func ExampleClient_NextOf() {
	nc, stop := running()
	defer stop()
	jobs := scheduler.NewClient(nc, "")

	spring := time.Date(2027, 3, 26, 12, 0, 0, 0, time.UTC)
	times, err := jobs.NextOf(context.Background(), &scheduler.Schedule{Cron: "30 2 * * *", TimeZone: "Europe/Berlin"}, 3, spring)
	if err != nil {
		log.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range times {
		fmt.Println(t.In(berlin).Format("Mon 2 January 15:04 MST"))
	}
	// Output:
	// Sat 27 March 02:30 CET
	// Sun 28 March 03:00 CEST
	// Mon 29 March 02:30 CEST
}
