package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/prometheus/client_golang/prometheus"
)

// Listen takes an address. One that somebody else has is an error that names
// the variable to set.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &config.Error{
			Variable: "BELLHOP_HTTP_ADDR", Value: addr,
			Want: "somebody else listens there; name another address, or an empty one for none",
		}
	}
	if err != nil {
		return nil, &config.Error{Variable: "BELLHOP_HTTP_ADDR", Value: addr, Want: "cannot listen there: " + err.Error()}
	}
	return l, nil
}

// Serve answers on l until ctx is done, and then lets what is under way end.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h,
		// Bounds on how long a client may hold a connection without use.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(bounded)
	})
	err := server.Serve(l)
	if stop() { // Serve ended by itself
		return fmt.Errorf("serve HTTP: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stop HTTP: %w", errors.Join(err, server.Close()))
	}
	return nil
}

// secure has a listener speak TLS, with the certificate and key of these files;
// without files it stays as it is.
func secure(l net.Listener, cert, key string) (net.Listener, error) {
	if cert == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, &config.Error{Variable: config.Prefix + "_HTTP_TLS_CERT", Value: cert, Want: "name a certificate that fits its key, both PEM: " + err.Error()}
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}), nil
}

// Run serves Handler's routes on addr until ctx is done; where addr is empty,
// it serves nothing.
func Run(ctx context.Context, addr, title string, log *slog.Logger, checks map[string]Check, metrics ...prometheus.Collector) error {
	if addr == "" {
		return nil
	}
	h, err := Handler(title, checks, metrics...)
	if err != nil {
		return err
	}
	l, err := Listen(ctx, addr)
	if err != nil {
		return err
	}
	log.Info("serving HTTP", "address", l.Addr().String())
	return Serve(ctx, l, h)
}
