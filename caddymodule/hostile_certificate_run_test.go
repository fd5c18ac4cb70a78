package caddymodule_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// An authority vouches for many names. Whoever has a certificate of it, for a name of their own or
// one that has run out, is not the issuer for that: else they would say which keys sign our users in.
func TestCertificateOfAnotherNameIsNotTheIssuers(t *testing.T) {
	ca := newAuthority(t)
	hour := time.Hour
	for _, c := range []struct {
		name    string
		address net.IP
		from    time.Duration // now is 0
		until   time.Duration
		mention string // empty: it is the issuer's
	}{
		{"the issuer's", net.IPv4(127, 0, 0, 1), -hour, hour, ""},
		{"another name", net.IPv4(127, 0, 0, 2), -hour, hour, "certificate is valid for 127.0.0.2, not 127.0.0.1"},
		{"expired", net.IPv4(127, 0, 0, 1), -2 * hour, -hour, "certificate has expired"},
		{"not yet valid", net.IPv4(127, 0, 0, 1), hour, 2 * hour, "certificate has expired or is not yet valid"},
	} {
		for source, lines := range map[string]string{"jwks_url": "jwks_url %s/keys", "discovery": "discovery on"} {
			t.Run(c.name+"/"+source, func(t *testing.T) {
				g := prepare(t)
				leaf := &x509.Certificate{IPAddresses: []net.IP{c.address}, NotBefore: time.Now().Add(c.from), NotAfter: time.Now().Add(c.until)}
				server := ca.serve(t, leaf)
				g.issuer = verifiertest.NewIssuer(t, verifiertest.WithIssuer("https://"+server.Listener.Addr().String()))
				server.Config.Handler = metadataAndKeys(g.issuer)
				server.StartTLS()

				keys := strings.Replace(lines, "%s", g.issuer.URL(), 1)
				g.load(g.keysBy(keys, "tls_ca "+writePEM(t, ca.certificate.Raw)), plainSite)
				alice := request{path: "/wallets/1", bearer: g.external("alice")}
				if c.mention == "" {
					g.want(alice, 200, "")
					return
				}
				g.want(alice, 503, "keys_unavailable")
				g.waitUntilLogged(g.issuer.URL(), c.mention)
				if n := g.upstream.count(); n != 0 {
					t.Errorf("%d requests reached the upstream", n)
				}
			})
		}
	}
}

// `insecure_http` lets keys come without TLS. With TLS it vouches for nobody: else whoever is in
// between says which keys sign our users in.
func TestInsecureHTTPTrustsNoUnknownAuthority(t *testing.T) {
	ca := newAuthority(t)
	for name, known := range map[string]bool{"unknown": false, "control: known by tls_ca": true} {
		t.Run(name, func(t *testing.T) {
			g := prepare(t)
			server := ca.serve(t, &x509.Certificate{
				IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			})
			server.Config.Handler = metadataAndKeys(g.issuer)
			server.StartTLS()
			lines := []string{"jwks_url " + server.URL + "/keys", "insecure_http"}
			if known {
				lines = append(lines, "tls_ca "+writePEM(t, ca.certificate.Raw))
			}
			g.load(g.keysBy(lines...), plainSite)
			alice := request{path: "/wallets/1", bearer: g.external("alice")}
			if known {
				g.want(alice, 200, "")
				return
			}
			g.want(alice, 503, "keys_unavailable")
			g.waitUntilLogged(g.issuer.URL(), "unknown authority")
		})
	}
}

// metadataAndKeys is what a server of the issuer answers.
func metadataAndKeys(issuer *verifiertest.Issuer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, issuer.URL(), issuer.URL()+"/keys")
			return
		}
		_, _ = w.Write(issuer.JWKS())
	})
}

// authority signs certificates that the gateway is told to trust.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := verifiertest.NewKey(t, "ES256").Private()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

// serve prepares a server with a certificate of the authority, whose address is known before it starts.
func (a *authority) serve(t *testing.T, leaf *x509.Certificate) *httptest.Server {
	t.Helper()
	key := verifiertest.NewKey(t, "ES256").Private()
	leaf.SerialNumber, leaf.ExtKeyUsage = big.NewInt(2), []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	raw, err := x509.CreateCertificate(rand.Reader, leaf, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	t.Cleanup(server.Close)
	return server
}
