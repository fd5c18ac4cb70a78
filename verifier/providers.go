package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Providers are the verifiers of several issuers. They are immutable and may be
// used concurrently.
type Providers struct {
	verifiers []*Verifier
	maxBytes  int
}

// NewProviders returns the verifiers as one. It is an error if there is none, or
// if two of them accept the same issuer.
func NewProviders(vs ...*Verifier) (*Providers, error) {
	if len(vs) == 0 {
		return nil, errors.New("configuring providers: there is none")
	}
	p := &Providers{}
	for _, v := range vs {
		if v == nil {
			return nil, errors.New("configuring providers: one is nil")
		}
		if _, dup := p.For(v.cfg.Issuer); dup {
			return nil, fmt.Errorf("configuring providers: two of issuer %q", v.cfg.Issuer)
		}
		p.verifiers = append(p.verifiers, v)
		p.maxBytes = max(p.maxBytes, v.cfg.MaxBytes)
	}
	return p, nil
}

// Verify checks token with the verifier of the issuer that the token names. The
// name is unverified and does no more than choose: the chosen verifier has only
// its own issuer's keys, and checks `iss` again. Errors are as for [Verifier.Verify].
func (p *Providers) Verify(ctx context.Context, token string) (*Claims, error) {
	t, err := Parse(token, p.maxBytes)
	if err != nil {
		return nil, err
	}
	v, err := p.named(t)
	if err != nil {
		return nil, err
	}
	return v.verify(ctx, t)
}

// named returns the verifier of the issuer that t names.
func (p *Providers) named(t *Token) (*Verifier, error) {
	iss, err := stringClaim(t.claims, "iss")
	if err != nil {
		return nil, err
	}
	v, ok := p.For(iss)
	if !ok {
		return nil, refuse(CodeIssuerMismatch, "iss is %s, which is nobody's that is trusted here", quoted(iss))
	}
	return v, nil
}

// For returns the verifier of issuer.
func (p *Providers) For(issuer string) (*Verifier, bool) {
	for _, v := range p.verifiers {
		if v.cfg.Issuer == issuer {
			return v, true
		}
	}
	return nil, false
}

// All returns the verifiers in the order in which they were given.
func (p *Providers) All() []*Verifier { return slices.Clone(p.verifiers) }
