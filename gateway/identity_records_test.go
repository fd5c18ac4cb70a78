package gateway_test

import (
	"context"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// trusting is a provider that believes an issuer.
func trusting(t *testing.T, i *verifiertest.Issuer) gateway.Provider {
	t.Helper()
	v, err := verifier.New(verifier.Config{Issuer: i.URL(), Audiences: []string{audience}, Keys: i.KeySet()})
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Provider{Verifier: v}
}

// The issuer of the one login system begins with that of the other, so that what is theirs
// would be one text if it was merely put together: "https://login.example" and "/x1" is
// "https://login.example/x" and "1". The users of the one would be those of the other, and
// could use up the assertions of the other. So could they where two login systems count
// their assertions, and each has a first one.
func TestOneLoginSystemCannotUseUpTheAssertionsOfAnother(t *testing.T) {
	type login struct {
		*verifiertest.Issuer
		name string // of its user, and the jti of an assertion of theirs
	}
	one := login{verifiertest.NewIssuer(t, verifiertest.WithIssuer("https://login.example")), "/x1"}
	other := login{verifiertest.NewIssuer(t, verifiertest.WithIssuer("https://login.example/x")), "1"}
	w := newWorld(t, func(c *gateway.Config) {
		c.Providers = []gateway.Provider{trusting(t, one.Issuer), trusting(t, other.Issuer)}
	})
	users := make(map[string]bool)
	for _, l := range []login{one, other} {
		s := w.authenticate(t, l.Token(map[string]any{"sub": l.name, "aud": audience}))
		if users[s.UserID] {
			t.Errorf("%s of %s is taken for the user of the other login system", l.name, l.URL())
		}
		users[s.UserID] = true
		for _, jti := range []string{l.name, "of both"} {
			assertion := l.Assertion(l.name, "wallet:export", map[string]any{"jti": jti})
			_, err := w.env.Elevate(context.Background(), s, assertion)
			wantCode(t, err, "")
			_, err = w.env.Elevate(context.Background(), s, assertion) // of the same parts the name is the same
			wantCode(t, err, gateway.CodeReplayed)
		}
	}
}
