package connect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/nats-server/v2/server"
)

// authority signs certificates for as long as a test runs.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key))(t)
	a.cert = must(x509.ParseCertificate(der))(t)
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// sign gives a certificate and its key, both as PEM.
func (a *authority) sign(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key))(t)
	b := must(x509.MarshalECPrivateKey(k))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b}))
}

// TestTLS is about a server that shows a certificate and asks for the client's.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.sign(t, "server")
	pair := must(tls.X509KeyPair([]byte(cert), []byte(key)))(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s := serve(t, &server.Options{
		TLSVerify: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair},
			ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert,
		},
	})

	cert, key = a.sign(t, "client")
	url := fmt.Sprintf("tls://%s", s.Addr())
	n := config.NATS{URL: url, TLS: config.TLS{
		CA: write(t, "ca.pem", a.pem), Cert: write(t, "cert.pem", cert), Key: write(t, "key.pem", key),
	}}
	works(t, n, quiet())

	stranger := n
	stranger.TLS.CA = write(t, "ca.pem", newAuthority(t).pem)
	refused(t, stranger, "certificate", "")

	nameless := n
	nameless.TLS.Cert, nameless.TLS.Key = "", ""
	refused(t, nameless, "", "")

	for variable, broken := range map[string]config.TLS{
		"TLS_CA":   {CA: "/does/not/exist"},
		"TLS_CERT": {Cert: "/does/not/exist", Key: n.TLS.Key},
		"TLS_KEY":  {Cert: n.TLS.Cert, Key: "/does/not/exist"},
	} {
		refused(t, config.NATS{URL: url, TLS: broken}, "BELLHOP_NATS_"+variable, "")
	}
}
