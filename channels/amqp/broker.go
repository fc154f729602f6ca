package amqp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Broker says how to connect. Every In and Out of it has a connection of its own,
// so that a blocked or a broken one stops no other.
type Broker struct {
	// Name is how logs and run ids call it; required, 1 to 60 of A-Z a-z 0-9 _ -.
	// Bridges that consume from the same queues call it the same.
	Name string
	// URLs are amqp:// or amqps:// URLs, one for each node of a cluster; the next
	// is tried where one fails. The path is the virtual host.
	URLs []string
	// Credentials gives user and password anew for each connection; nil means
	// those in the URL.
	Credentials func() (user, password string, err error)
	// TLS is used with amqps; nil means the system's authorities.
	TLS *tls.Config
	// Heartbeat is after how long without a word a connection is checked: 10 s,
	// rounded to seconds. It is given up after about one and a half.
	Heartbeat time.Duration
}

// maxName bounds Broker.Name, in bytes.
const maxName = 60

// handshakeTime bounds one attempt to connect.
const handshakeTime = 10 * time.Second

// ErrConfig is what every refusal of options wraps.
var ErrConfig = errors.New("invalid options")

// Check says what is wrong with the options. It never tells a password.
func (b *Broker) Check() error {
	if workers.CheckChannel(b.Name) != nil || len(b.Name) > maxName {
		return fmt.Errorf("%w: name %.80q: use 1 to %d of A-Z a-z 0-9 _ -", ErrConfig, b.Name, maxName)
	}
	if len(b.URLs) == 0 {
		return fmt.Errorf("%w: a URL such as amqp://rabbit.example:5672/ is missing", ErrConfig)
	}
	for _, u := range b.URLs {
		if _, err := amqp091.ParseURI(u); err != nil {
			return fmt.Errorf("%w: URL %s: use one such as amqp://rabbit.example:5672/vhost", ErrConfig, redact(u))
		}
	}
	if b.Heartbeat < 0 || b.Heartbeat > time.Hour {
		return fmt.Errorf("%w: heartbeat %s: use 1s to 1h", ErrConfig, b.Heartbeat)
	}
	return nil
}

// redact is a URL without what may be secret.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "…" // whatever is in it
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// link is one connection to the broker.
type link struct {
	*amqp091.Connection
	net  *corked
	url  string              // without secrets
	lost chan *amqp091.Error // closed when the connection is
}

// dial connects to the first node that takes it, beginning with the one after
// those that have just failed.
func (b *Broker) dial(ctx context.Context, purpose string, failed int) (*link, error) {
	var all []error
	for i := range b.URLs {
		u := b.URLs[(failed+i)%len(b.URLs)]
		l, err := b.dialOne(ctx, u, purpose)
		if err == nil {
			return l, nil
		}
		all = append(all, fmt.Errorf("connect to %s: %w", redact(u), err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(all...)
}

func (b *Broker) dialOne(ctx context.Context, u, purpose string) (*link, error) {
	l := &link{url: redact(u)}
	config := amqp091.Config{
		Heartbeat:  max(cmp.Or(b.Heartbeat, 10*time.Second), time.Second),
		Properties: amqp091.NewConnectionProperties(),
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: handshakeTime}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// The library takes the deadline away after the handshake.
			if err := c.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
				return nil, errors.Join(err, c.Close())
			}
			l.net = &corked{Conn: c}
			return l.net, nil
		},
	}
	config.Properties.SetClientConnectionName("bellhop " + b.Name + " " + purpose)
	if b.TLS != nil {
		config.TLSClientConfig = b.TLS.Clone() // the library writes into it
	}
	if b.Credentials != nil {
		user, password, err := b.Credentials()
		if err != nil {
			return nil, err
		}
		config.SASL = []amqp091.Authentication{&amqp091.PlainAuth{Username: user, Password: password}}
	}
	c, err := amqp091.DialConfig(u, config)
	if err != nil {
		if l.net != nil {
			_ = l.net.Close() // it may be closed
		}
		return nil, err
	}
	l.Connection = c
	l.lost = c.NotifyClose(make(chan *amqp091.Error, 1))
	return l, nil
}

// closeTime is how long a broker has to say goodbye.
const closeTime = 2 * time.Second

// close ends the connection, whatever hangs: a write to a broker that reads
// nothing ends only with the socket.
func (l *link) close() {
	var ending sync.WaitGroup
	done := make(chan struct{})
	ending.Go(func() {
		defer close(done)
		_ = l.CloseDeadline(time.Now().Add(closeTime)) // it may be closed already
	})
	t := time.NewTimer(2 * closeTime)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	_ = l.net.Close()
	ending.Wait()
}

// cause is why the connection or the channel has ended.
func cause(err *amqp091.Error, otherwise string) error {
	if err == nil {
		return errors.New(otherwise)
	}
	return err
}
