package caddymodule

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// trusted is one login system of an environment, checked and ready to be opened.
type trusted struct {
	config     *Provider
	assertions verifier.AssertionRules
	maxBytes   int
	ca         []byte // PEM; nil: the system's authorities
	roots      *x509.CertPool

	keys verifier.KeySet // once it was opened
}

// trust compiles the login systems of an environment, the first of which stands in the environment itself.
func trust(e *Environment) ([]*trusted, error) {
	var all []*trusted
	for _, p := range e.allProviders() {
		t := &trusted{
			config:     p,
			assertions: e.assertionRules(e.requireIssuer(p)),
			maxBytes:   int(e.MaxTokenSize),
		}
		if err := t.readCA(); err != nil {
			return nil, fmt.Errorf("provider %q: %w", p.Issuer, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func (t *trusted) readCA() error {
	if t.config.TLSCA == "" {
		return nil
	}
	var err error
	if t.ca, err = os.ReadFile(t.config.TLSCA); err != nil {
		return fmt.Errorf("tls_ca: %w", err)
	}
	t.roots = x509.NewCertPool()
	if !t.roots.AppendCertsFromPEM(t.ca) {
		return fmt.Errorf("tls_ca: %s holds no PEM certificate", t.config.TLSCA)
	}
	return nil
}

// open makes the verifier of this login system over its key set.
func (t *trusted) open(o Opening) (gateway.Provider, error) {
	keys, err := t.openKeys(o)
	if err != nil {
		return gateway.Provider{}, err
	}
	t.keys = keys
	v, err := verifier.New(verifier.Config{
		Issuer:     t.config.Issuer,
		Audiences:  t.config.Audience,
		Algorithms: t.config.Algorithms,
		Keys:       keys,
		Leeway:     time.Duration(*t.config.Leeway),
		MaxBytes:   t.maxBytes,
		Assertion:  t.assertions,
	})
	return gateway.Provider{
		Verifier:            v,
		DistrustEmail:       t.config.TrustEmail != nil && !*t.config.TrustEmail,
		AssumeEmailVerified: t.config.AssumeEmailVerified,
	}, err
}

// openKeys borrows the key set: from the issuer's URL, or from a file.
func (t *trusted) openKeys(o Opening) (verifier.KeySet, error) {
	p := t.config
	if p.JWKSFile != "" {
		return borrow(o.lease, "jwks_file "+p.JWKSFile, func() (*verifier.FileKeySet, func() error, error) {
			set, err := verifier.NewFileKeySet(verifier.FileConfig{Path: p.JWKSFile, Refreshed: t.report(o)})
			return set, closerOf(set), err
		})
	}
	key := "jwks " + hashed(p.Issuer, p.JWKSURL, string(t.ca), fmt.Sprint(p.InsecureHTTP), storageName(o.Storage))
	return borrow(o.lease, key, func() (*verifier.RemoteKeySet, func() error, error) {
		set, err := verifier.NewRemoteKeySet(verifier.RemoteConfig{
			URL:          p.JWKSURL,
			Issuer:       p.Issuer,
			Client:       t.client(),
			InsecureHTTP: p.InsecureHTTP,
			Snapshots:    snapshotOf(o.Storage, p.Issuer, p.JWKSURL),
			Refreshed:    t.report(o),
		})
		return set, closerOf(set), err
	})
}

// client fetches through the proxies of the process's environment.
func (t *trusted) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: t.roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}
}

// report says in the log how a fetch went. The key set outlives the config that opened it.
func (t *trusted) report(o Opening) func(keys int, err error) {
	issuer := zap.String("issuer", t.config.Issuer)
	environment := o.Environment
	return func(keys int, err error) {
		if err != nil {
			logOf(environment).Error("fetching the issuer's keys failed; the last good set goes on serving while it is fresh enough",
				issuer, zap.Error(err))
			return
		}
		logOf(environment).Debug("fetched the issuer's keys", issuer, zap.Int("keys", keys))
	}
}

// closerOf adapts a Close without an error; a set that could not be made has none.
func closerOf[T interface {
	comparable
	Close()
}](set T) func() error {
	var none T
	if set == none {
		return nil
	}
	return func() error { set.Close(); return nil }
}
