//go:build unix

package httpchannel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/channeltest"
	httpchannel "github.com/bellhop-run/bellhop/channels/http"
	"github.com/bellhop-run/bellhop/workers"
)

func TestMain(m *testing.M) {
	channeltest.Main(m, func(args string, log *slog.Logger) (channels.Channel, error) {
		return &served{httpchannel.New(httpchannel.Options{Pass: []string{"X-Color"}, Logger: log}), args}, nil
	})
}

// served is a channel with a server around it.
type served struct {
	*httpchannel.Channel
	addr string
}

func (s *served) Run(ctx context.Context, d *workers.Dispatcher) error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.Channel}
	go server.Serve(l)
	err = s.Channel.Run(ctx, d)
	return errors.Join(err, server.Shutdown(context.WithoutCancel(ctx)))
}

// Clients are the counterpart: nobody keeps what they send, so they send it again,
// with its key, until it is taken.
func TestConformance(t *testing.T) {
	channeltest.Run(t, channeltest.Harness{Kind: httpchannel.Name, Open: func(t *testing.T) channeltest.Outside {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}
		t.Cleanup(client.CloseIdleConnections)
		send := func(ctx context.Context, service string, m channeltest.Message) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/services/"+service, bytes.NewReader(m.Body))
			if err != nil {
				return nil, err
			}
			for name, v := range m.Header {
				req.Header.Set(name, v)
			}
			if m.ID != "" {
				req.Header.Set("Idempotency-Key", m.ID)
			}
			if m.ContentType != "" {
				req.Header.Set("Content-Type", m.ContentType)
			}
			resp, err := client.Do(req)
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			return resp, err
		}
		refused := func(status int, service string, m channeltest.Message) func(context.Context) error {
			return func(ctx context.Context) error {
				resp, err := send(ctx, service, m)
				if err != nil {
					return err
				}
				if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
					return fmt.Errorf("%s, %s", resp.Status, resp.Header.Get("Content-Type"))
				}
				return nil
			}
		}
		return channeltest.Outside{
			Args: addr,
			Send: func(ctx context.Context, m channeltest.Message) error {
				resp, err := send(ctx, channeltest.Service, m)
				if err == nil && resp.StatusCode != http.StatusAccepted {
					err = errors.New(resp.Status)
				}
				return err
			},
			Bad: map[string]func(ctx context.Context) error{
				"an absurd name": refused(http.StatusBadRequest, "a..b", channeltest.Message{}),
				"too large":      refused(http.StatusRequestEntityTooLarge, channeltest.Service, channeltest.Message{Body: make([]byte, 2<<20)}),
				"an absurd key":  refused(http.StatusBadRequest, channeltest.Service, channeltest.Message{ID: strings.Repeat("x", 300)}),
			},
		}
	}})
}
