package caddymodule

import (
	"cmp"
	"errors"
	"net/url"
	"path/filepath"
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

	// Whether the issuer's OpenID Connect or OAuth metadata names the JWKS.
	Discovery bool `json:"discovery,omitempty"`

	// The audiences of which a token must name at least one. Without any, a token that
	// the login system issued for another application is accepted too.
	Audience []string `json:"audience,omitempty"`

	// The signature algorithms to accept. Default: every asymmetric one of
	// RFC 7518 and RFC 8037 (RS, PS and ES with 256, 384 and 512; EdDSA).
	Algorithms []string `json:"algorithms,omitempty"`

	// How far `nbf` and `iat` may lie ahead of this machine's clock. `exp` is exact. Default: 30s.
	Leeway *caddy.Duration `json:"leeway,omitempty"`

	// A PEM file of the certificate authorities to trust for `jwks_url`, instead of the system's.
	TLSCA string `json:"tls_ca,omitempty"`

	// Whether `jwks_url` may be plain http to another machine. Whoever is on the way can then
	// sign tokens.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	// Whether an `email` that the token calls verified is believed. Default: true.
	TrustEmail *bool `json:"trust_email,omitempty"`

	// Whether an `email` without a word about its verification counts as verified.
	// One that the token calls unverified never does.
	AssumeEmailVerified bool `json:"assume_email_verified,omitempty"`
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
		return in("discovery", checkAvailable("discovery"))
	case p.JWKSURL != "":
		return in("jwks_url", checkRemoteURL(p.JWKSURL, p.InsecureHTTP))
	case p.TLSCA != "":
		return errors.New("tls_ca: of no use without jwks_url")
	case p.InsecureHTTP:
		return errors.New("insecure_http: of no use without jwks_url")
	}
	return nil
}

// keySource names where the keys come from, the same for two providers that read the same ones.
func (p *Provider) keySource() string {
	if p.Discovery {
		return "metadata " + p.Issuer
	}
	if p.JWKSFile != "" {
		path, err := filepath.Abs(p.JWKSFile)
		if err != nil {
			path = filepath.Clean(p.JWKSFile)
		}
		return "file " + path
	}
	u, err := url.Parse(p.JWKSURL)
	if err != nil {
		return p.JWKSURL
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if isDefaultPort(u) {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String()
}

// warnings are what is allowed and seldom meant.
func (p *Provider) warnings() []string {
	var ws []string
	if len(p.Audience) == 0 {
		ws = append(ws, "audience: not set, so tokens that the issuer made for any other application are accepted too")
	}
	if u, err := url.Parse(p.JWKSURL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		ws = append(ws, "jwks_url: plain http, so whoever is on the way can sign tokens")
	}
	return ws
}
