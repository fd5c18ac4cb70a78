package verifier

import (
	"context"
	"slices"
	"strings"
)

// Check is [Verifier.Check] of the verifier whose issuer the token names, or else of
// the only one there is. Of several, none has the keys of a token that is nobody's: it is
// then held against the rules on which they all agree, and "signature" is not among the results.
func (p *Providers) Check(ctx context.Context, token string) []Check {
	return p.checkAll(ctx, token, "", signIn)
}

// CheckAssertion does for assertions what [Providers.Check] does for other tokens. Where
// there are several verifiers, an assertion that names no issuer is nobody's here, though
// it may be good: that of the user's login system, [Providers.For], has to be asked.
func (p *Providers) CheckAssertion(ctx context.Context, token, subject string) []Check {
	return p.checkAll(ctx, token, subject, stepUp)
}

func (p *Providers) checkAll(ctx context.Context, token, subject string, steps []step) []Check {
	t, err := Parse(token, p.maxBytes)
	if err != nil {
		return []Check{{Name: "form", Err: err}}
	}
	v, nobodys := p.named(t)
	switch {
	case nobodys == nil:
		return v.checkAll(ctx, token, subject, steps)
	case len(p.verifiers) == 1:
		return p.verifiers[0].checkAll(ctx, token, subject, steps)
	}
	checks := []Check{{Name: "form"}}
	for _, s := range steps {
		switch s.name {
		case stepIssuer:
			checks = append(checks, Check{Name: s.name, Err: nobodys})
		case stepSignature:
		default:
			if check, agreed := p.agree(ctx, t, subject, s); agreed {
				checks = append(checks, check)
			}
		}
	}
	return checks
}

// agree returns what all verifiers find of one rule, if they agree that it is met, or that
// it is not: then in the words of each of them.
func (p *Providers) agree(ctx context.Context, t *Token, subject string, s step) (check Check, agreed bool) {
	var found []error
	var words []string
	for _, v := range p.verifiers {
		a := v.begin(ctx, t)
		a.subject = subject
		if err := s.check(v, a); err != nil {
			found = append(found, err)
			words = append(words, err.Error())
		}
	}
	check.Name = s.name
	if len(found) == 0 {
		return check, true
	}
	check.Err = refuse(CodeOf(found[0]), "%s", strings.Join(slices.Compact(words), "; "))
	return check, len(found) == len(p.verifiers)
}
