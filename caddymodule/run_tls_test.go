package caddymodule_test

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// prepareTLS is [prepare] for a site that speaks HTTP/1.1, HTTP/2 and HTTP/3 on one port, with a
// certificate that is there when it starts. Caddy, were it asked to make one (`tls internal`),
// would do so while it goes on starting, and the two race for a field of Caddy's.
func prepareTLS(t *testing.T) *running {
	t.Helper()
	g := prepare(t)
	g.site = "https://localhost:" + portOf(g.address)
	certificate, key := writeServerCertificate(t, "localhost")
	g.lines = "bind 127.0.0.1\n\ttls " + certificate + " " + key
	return g
}

// writeServerCertificate returns the paths of a certificate of that name, which nobody vouches
// for, and of its key.
func writeServerCertificate(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	private := verifiertest.NewKey(t, "ES256")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	signer := private.Private()
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, pkcs8(t, private), 0o600); err != nil {
		t.Fatal(err)
	}
	return writePEM(t, der), key
}
