package caddymodule

import (
	"cmp"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Provider is one login system: who it is, where its keys are, and what its
// tokens must look like.
type Provider struct {
	// The `iss` of its tokens, compared byte for byte. Required.
	Issuer string `json:"issuer,omitempty"`

	// Where its keys are published. Must be https, or http on loopback.
	// Exactly one of `jwks_url`, `jwks_file` and `discovery` is required.
	JWKSURL string `json:"jwks_url,omitempty"`

	// A file that holds its keys as a JWKS; it is read again when it changes.
	JWKSFile string `json:"jwks_file,omitempty"`

	// Whether the issuer's metadata names the JWKS: that of OpenID Connect Discovery, or where
	// there is none, that of OAuth (RFC 8414). `issuer` must then be a https URL, or http on
	// loopback, and the metadata must name that same issuer. It is asked each time the keys are
	// fetched, never when a config is merely checked. As it is not known before where the keys
	// are, they count as shared with every other provider whose keys are fetched: with those of
	// the same environment, assertions must name their issuer; with those of another, the two
	// environments need assertion audiences that differ.
	Discovery bool `json:"discovery,omitempty"`

	// The audiences of which a token must name at least one. Without any, a token that
	// the login system issued for another application is accepted too.
	Audience []string `json:"audience,omitempty"`

	// The signature algorithms to accept. Default: every asymmetric one of
	// RFC 7518 and RFC 8037 (RS, PS and ES with 256, 384 and 512; EdDSA).
	Algorithms []string `json:"algorithms,omitempty"`

	// How far `nbf` and `iat` may lie ahead of this machine's clock. `exp` is exact. Default: 30s.
	Leeway *caddy.Duration `json:"leeway,omitempty"`

	// A PEM file of the certificate authorities to trust where keys and metadata are fetched,
	// instead of the system's.
	TLSCA string `json:"tls_ca,omitempty"`

	// Whether keys and metadata may be fetched over plain http from another machine. Whoever is
	// on the way can then sign tokens.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	// Whether an `email` that the token calls verified is believed. Default: true.
	TrustEmail *bool `json:"trust_email,omitempty"`

	// Whether an `email` without a word about its verification counts as verified.
	// One that the token calls unverified never does.
	AssumeEmailVerified bool `json:"assume_email_verified,omitempty"`

	shownURL string // JWKSURL as it may be shown, once it is resolved

	file os.FileInfo // what JWKSFile names, once validated; nil where there is nothing yet
}

// defaultLeeway forgives clocks that differ a little.
const defaultLeeway = caddy.Duration(30 * time.Second)

// leewayBounds keep a token from being good long before its issuer says so.
var leewayBounds = durations{0, 10 * time.Minute}

func (p *Provider) setDefaults() {
	if p.Leeway == nil {
		leeway := defaultLeeway
		p.Leeway = &leeway
	}
}

// validate returns an error, which names the field, if no verifier should be made of p.
// Placeholders are resolved by then, and defaults set.
func (p *Provider) validate() error {
	return cmp.Or(
		p.checkComplete(),
		in("issuer", checkText(p.Issuer)),
		p.checkKeys(),
		in("audience", checkEach(p.Audience, checkText)),
		in("algorithms", checkEach(p.Algorithms, checkAlgorithm)),
		in("leeway", leewayBounds.check(*p.Leeway)),
	)
}

// checkComplete wants an issuer, and one place where its keys are.
func (p *Provider) checkComplete() error {
	if p.Issuer == "" {
		return errors.New("issuer: missing; it is compared with the iss of each token")
	}
	places := 0
	for _, set := range []bool{p.JWKSURL != "", p.JWKSFile != "", p.Discovery} {
		if set {
			places++
		}
	}
	switch places {
	case 0:
		return errors.New("jwks_url: missing; one of jwks_url, jwks_file and discovery says where the issuer's keys are")
	case 1:
		return nil
	}
	return errors.New("jwks_url: only one of jwks_url, jwks_file and discovery may be set")
}

// checkKeys judges where the keys come from, and over what.
func (p *Provider) checkKeys() error {
	switch {
	case p.Discovery:
		return in("discovery: issuer", checkIssuerURL(p.Issuer, p.InsecureHTTP))
	case p.JWKSURL != "":
		return in("jwks_url", checkRemoteURL(p.JWKSURL, p.InsecureHTTP))
	case p.TLSCA != "":
		return errors.New("tls_ca: of no use where no keys are fetched")
	case p.InsecureHTTP:
		return errors.New("insecure_http: of no use where no keys are fetched")
	}
	return in("jwks_file", p.lookAtFile())
}

// checkIssuerURL accepts an issuer that can be asked for its metadata (RFC 8414 section 2).
func checkIssuerURL(v string, insecure bool) error {
	if err := checkRemoteURL(v, insecure); err != nil {
		return err
	}
	if strings.Contains(v, "?") {
		return errors.New("must not hold a query")
	}
	return nil
}

// keyURL is the URL that the keys are fetched from, or the issuer that is asked where they
// are; empty where they come from a file.
func (p *Provider) keyURL() string {
	if p.Discovery {
		return p.Issuer
	}
	return p.JWKSURL
}

// sharesKeys says whether p and q may read the same keys. Of discovery nobody knows before
// where it leads, so it may lead to wherever else keys are fetched from.
func (p *Provider) sharesKeys(q *Provider) bool {
	if p.Discovery || q.Discovery {
		return p.JWKSFile == "" && q.JWKSFile == ""
	}
	if p.file != nil && q.file != nil && os.SameFile(p.file, q.file) {
		return true
	}
	return p.keySource() == q.keySource()
}

// warnings are what is allowed and seldom meant.
func (p *Provider) warnings() []string {
	var ws []string
	if len(p.Audience) == 0 {
		ws = append(ws, "audience: not set, so tokens that the issuer made for any other application are accepted too")
	}
	if u, err := url.Parse(p.keyURL()); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		field := "jwks_url"
		if p.Discovery {
			field = "discovery"
		}
		ws = append(ws, field+": plain http, so whoever is on the way can sign tokens")
	}
	return ws
}
