package main_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/forward"
	"github.com/jlaffaye/ftp"
	"github.com/nats-io/nats.go"
)

// billing is a service that is real work, to read and to copy: it fetches a CSV
// file from an FTP server and posts it to a REST endpoint.
//
//	{"file": "invoices.csv", "to": "crm"}
//	   └─► RETR invoices.csv ─► POST text/csv ─► "3 rows, 57 bytes posted: thanks"
//
// Who rings it, a schedule, a person or a program, it need not know. The payload
// says which file goes to which endpoint, by name: addresses and credentials are
// the service's own, so that nobody who may ring it has them sent elsewhere.
type billing struct {
	server, user, password string // of FTP
	endpoints              map[string]*forward.Endpoint
}

// maxFile bounds a file, in bytes: it is held in memory.
const maxFile = 16 << 20

// Serve does the work once. It may come twice for one run, after a crash: the
// endpoint is given the run's id as Idempotency-Key. What its errors say is
// logged by the worker, so nothing of the payload is in them.
func (b *billing) Serve(ctx context.Context, t *workers.Trigger) ([]byte, error) {
	var order struct{ File, To string }
	if err := t.Decode(&order); err != nil {
		return nil, err // permanent: the next attempt has the same payload
	}
	endpoint := b.endpoints[order.To]
	if order.File == "" || endpoint == nil {
		return nil, workers.Permanent(fmt.Errorf(`say which "file", and "to" which of %q`, slices.Sorted(maps.Keys(b.endpoints))))
	}
	file, err := b.fetch(ctx, order.File)
	if err != nil {
		return nil, fmt.Errorf("fetch the file: %w", err)
	}
	rows, err := count(file)
	if err != nil {
		return nil, workers.Permanent(fmt.Errorf("the file is no CSV: %w", err))
	}
	workers.Report(ctx, 0.5, "fetched")
	workers.Logger(ctx).Info("fetched", "rows", rows, "bytes", len(file)) // the run's own log

	post := *t // for the endpoint: the same run, with the file in place of the order
	post.Payload, post.Header = file, nats.Header{"Content-Type": {"text/csv"}}
	for name, values := range t.Header {
		if !strings.EqualFold(name, "Content-Type") { // which was the order's
			post.Header[name] = values
		}
	}
	answer, err := endpoint.Serve(ctx, &post) // which heeds Retry-After, and has a 4xx be permanent
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%d rows, %d bytes posted: %s", rows, len(file), answer), nil
}

// count tells how many rows there are, a header's among them.
func count(file []byte) (rows int, err error) {
	r := csv.NewReader(bytes.NewReader(file))
	r.ReuseRecord = true
	for {
		if _, err := r.Read(); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return 0, err
		}
		rows++
	}
}

// fetch gives a file of the FTP server. It ends with ctx, whatever the server does.
func (b *billing) fetch(ctx context.Context, path string) ([]byte, error) {
	dial := func(network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // what waits for it returns
		}
		return c, err
	}
	c, err := ftp.Dial(b.server, ftp.DialWithDialFunc(dial))
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Quit() }() // the file is what counts
	if err := c.Login(b.user, b.password); err != nil {
		return nil, sorted(err)
	}
	r, err := c.Retr(path)
	if err != nil {
		return nil, sorted(err)
	}
	file, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if len(file) > maxFile {
		return nil, workers.Permanent(errors.Join(fmt.Errorf("it has more than %d bytes", maxFile), r.Close()))
	}
	return file, errors.Join(err, r.Close()) // the server says at the end whether that was all
}

// sorted marks what no other attempt can heal: no such file, or nobody who may
// have it. Not all of 5xx is, whatever RFC 959 says: vsftpd's 500 OOPS passes.
func sorted(err error) error {
	if errors.Is(err, ftp.ErrInvalidCommand) { // a line break, which would begin another command
		return workers.Permanent(err)
	}
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		switch said.Code {
		case ftp.StatusNotLoggedIn, ftp.StatusFileUnavailable, ftp.StatusBadFileName:
			return workers.Permanent(err)
		}
	}
	return err
}

var _ workers.Service = (*billing)(nil)

// A worker with the service is a whole program.
func Example_billing() {
	run := func(ctx context.Context) error {
		nc, err := nats.Connect(nats.DefaultURL, nats.MaxReconnects(-1))
		if err != nil {
			return err
		}
		defer nc.Close()
		crm, err := forward.New("https://crm.example/invoices", forward.Options{
			Header: http.Header{"Authorization": {"Bearer " + os.Getenv("CRM_TOKEN")}},
		})
		if err != nil {
			return err
		}
		w := workers.New(nc, workers.Options{})
		w.HandleWith("billing", &billing{
			server: "ftp.example:21", user: "billing", password: os.Getenv("FTP_PASSWORD"),
			endpoints: map[string]*forward.Endpoint{"crm": crm},
		}, workers.ServiceOptions{
			Description: "Posts CSV files of an FTP server", Timeout: time.Minute, Attempts: 5,
		})
		return w.Run(ctx)
	}
	_ = run // in main, with a context that ends with SIGTERM
}
