package caddymodule_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// prepareTLS is [prepare] for a site that speaks HTTP/1.1, HTTP/2 and HTTP/3 on one port, with a
// certificate that is there when it starts. Caddy, were it asked to make one (`tls internal`),
// would do so while it goes on starting, and the two race for a field of Caddy's. So does a
// handshake where the servers start before that field is written, see [afterStart].
func prepareTLS(t *testing.T) *running {
	t.Helper()
	g := prepare(t)
	g.site = "https://localhost:" + portOf(g.address)
	certificate, key := writeServerCertificate(t, "localhost")
	g.lines = "bind 127.0.0.1\n\ttls " + certificate + " " + key
	g.edit = handshakeAfterStart
	return g
}

// starts counts the configs that have started.
var starts atomic.Int64

// afterStart is a matcher of every handshake. Caddy starts its apps in any order, and its servers
// perhaps before the TLS app, whose Start writes what each handshake reads: always before, as no
// test begins one earlier, but with nothing between the two that the race detector knows of. This is.
type afterStart struct{}

func init() { caddy.RegisterModule(afterStart{}) }

func (afterStart) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.handshake_match.test_after_start", New: func() caddy.Module { return new(afterStart) }}
}

func (afterStart) Match(*tls.ClientHelloInfo) bool { return starts.Load() > 0 }

// handshakeAfterStart has every handshake of a config pass [afterStart].
func handshakeAfterStart(config map[string]any) {
	servers := config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any)
	for _, server := range servers {
		for _, policy := range server.(map[string]any)["tls_connection_policies"].([]any) {
			policy := policy.(map[string]any)
			match, _ := policy["match"].(map[string]any)
			if match == nil {
				match = make(map[string]any)
				policy["match"] = match
			}
			match["test_after_start"] = map[string]any{}
		}
	}
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
