package caddymodule

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

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

	keys keySet // once it was opened
}

// keySet is what every key set is that was opened: it can tell how it is doing.
type keySet interface {
	verifier.KeySet
	Status() verifier.Status
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

// openKeys borrows the key set: from a file, or from wherever the issuer publishes it. Each
// environment has its own, so that logs and metrics say whose it is.
func (t *trusted) openKeys(o Opening) (keySet, error) {
	p := t.config
	if p.JWKSFile != "" {
		key := "jwks_file " + hashed(o.Environment, p.Issuer, p.JWKSFile)
		return borrow(o.lease, key, func() (*verifier.FileKeySet, func() error, error) {
			set, err := verifier.NewFileKeySet(verifier.FileConfig{Path: p.JWKSFile, Refreshed: t.report(o)})
			return set, closerOf(set), err
		})
	}
	// Kept keys are as good as the way that they came by, so they are bound to that too.
	kept := hashed(o.EnvironmentID, p.Issuer, p.JWKSURL, string(t.ca), fmt.Sprint(p.InsecureHTTP))
	key := "jwks " + hashed(o.Environment, kept, p.shownURL, storageName(o.Storage))
	return borrow(o.lease, key, func() (*verifier.RemoteKeySet, func() error, error) {
		set, err := verifier.NewRemoteKeySet(verifier.RemoteConfig{
			URL:          p.JWKSURL,
			ShownURL:     p.shownURL,
			Issuer:       p.Issuer,
			Discovery:    p.Discovery,
			Client:       t.client(),
			InsecureHTTP: p.InsecureHTTP,
			Snapshots:    snapshotOf(o.Storage, kept),
			Refreshed:    t.report(o),
		})
		return set, closerOf(set), err
	})
}

// client trusts the authorities that tls_ca names, and goes through the proxies of the
// process's environment.
func (t *trusted) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: t.roots, MinVersion: tls.VersionTLS12}
	transport.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{Transport: transport}
}

// report tells the log, the metrics and the events how a fetch went.
func (t *trusted) report(o Opening) func(keys int, err error) {
	r := &refreshes{environment: o.Environment, provider: t.config.Issuer, file: t.config.JWKSFile != ""}
	return r.report
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
