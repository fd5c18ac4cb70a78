package verifier

import "context"

// A Check is one named rule and what came of it.
type Check struct {
	Name string
	Err  error // nil: passed
}

// Check holds token against every rule that [Verifier.Verify] applies, in the same
// order and by the same code, and does not stop at the first that fails. A token
// whose form is wrong has no claims to check: then "form" is the only result.
func (v *Verifier) Check(ctx context.Context, token string) []Check {
	return v.checkAll(ctx, token, "", signIn)
}

// CheckAssertion does for [Verifier.VerifyAssertion] what [Verifier.Check] does for Verify.
func (v *Verifier) CheckAssertion(ctx context.Context, token, subject string) []Check {
	return v.checkAll(ctx, token, subject, stepUp)
}

func (v *Verifier) checkAll(ctx context.Context, token, subject string, steps []step) []Check {
	t, err := Parse(token, v.cfg.MaxBytes)
	checks := []Check{{Name: "form", Err: err}}
	if err != nil {
		return checks
	}
	a := v.begin(ctx, t)
	a.subject = subject
	for _, s := range steps {
		checks = append(checks, Check{Name: s.name, Err: s.check(v, a)})
	}
	return checks
}
