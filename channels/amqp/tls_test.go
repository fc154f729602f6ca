//go:build unix

package amqp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	"github.com/bellhop-run/bellhop/channels/amqp/rabbit"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// certificate makes an authority, and a certificate of it for both sides on the
// loopback interface, and writes them into files.
func certificate(t *testing.T) (files rabbit.TLS, pair tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) (string, []byte) {
		t.Helper()
		path, text := filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path, text
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var caText, certText, keyText []byte
	files.CA, caText = write("ca.pem", "CERTIFICATE", ca)
	files.Cert, certText = write("cert.pem", "CERTIFICATE", cert)
	files.Key, keyText = write("key.pem", "PRIVATE KEY", private)
	if pair, err = tls.X509KeyPair(certText, keyText); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(caText)
	return files, pair, roots
}

// TestTLS connects with certificates on both sides, and a password that changes.
func TestTLS(t *testing.T) {
	files, pair, roots := certificate(t)
	n := amqptest.Start(t, files)
	h := newHouse(t, n.URL)
	var asked atomic.Int64
	b := amqp.Broker{
		Name: "tls", URLs: []string{n.TLSURL},
		TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		Credentials: func() (string, string, error) {
			if asked.Add(1) <= 2 {
				return "guest", "wrong", nil
			}
			return "guest", "guest", nil
		},
	}
	c, err := amqp.NewIn(b, amqp.InOptions{Queue: h.q.name, Service: "s", Logger: h.log})
	h.ok(err)
	h.run(func(ctx context.Context) error { return c.Run(ctx, h.d) })
	h.connected(c.Meter())
	h.send(amqp091.Publishing{MessageId: "1"})
	h.stored(1)
	if s := c.Meter().Status(); s.LastError == "" {
		t.Errorf("the wrong password is not told: %+v", s)
	}
	stranger := b
	stranger.TLS, stranger.Credentials = nil, nil // knows no authority, and has no certificate
	bad, err := amqp.NewIn(stranger, amqp.InOptions{Queue: h.q.name, Service: "s", Logger: h.log})
	h.ok(err)
	h.run(func(ctx context.Context) error { return bad.Run(ctx, h.d) })
	h.away(bad.Meter(), "certificate")
}
