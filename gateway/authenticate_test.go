package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestExternalJWTBecomesSession(t *testing.T) {
	w := newWorld(t)
	s := w.authenticate(t, w.external("alice", map[string]any{"email": "a@example.com", "email_verified": true}))
	if s.ExternalID() != "alice" || s.Email != "a@example.com" || s.Presented {
		t.Errorf("session %+v", s)
	}
	if want := gateway.UserID(environmentID, w.issuer.URL(), "alice"); s.UserID != want {
		t.Errorf("user id %q, want %q", s.UserID, want)
	}
	again := w.authenticate(t, s.Token)
	if again.ID != s.ID || again.UserID != s.UserID || again.ExternalID() != "alice" || !again.Presented {
		t.Errorf("the session token opens %+v, want the same session", again)
	}
	if _, ok := again.External.Get("email"); !ok {
		t.Error("the external claims are lost in the session token")
	}
}

// The session of a token that comes with the request has one ID on every instance,
// and a session token of any instance is good on all.
func TestTwoInstancesNameOneSession(t *testing.T) {
	a := newWorld(t)
	b := newWorld(t, func(c *gateway.Config) {
		c.Providers, c.Now = gatewaytest.NewConfig(t, a.issuer, a.clock).Providers, a.clock.Now
	})
	token := a.external("alice")
	if one, two := a.authenticate(t, token), b.authenticate(t, token); one.ID != two.ID || one.UserID != two.UserID {
		t.Errorf("sessions %q and %q of users %q and %q", one.ID, two.ID, one.UserID, two.UserID)
	}
}

func TestUserIDsAreLengthPrefixed(t *testing.T) {
	if gateway.UserID(environmentID, "https://a", "bc") == gateway.UserID(environmentID, "https://ab", "c") {
		t.Error("two users of two issuers share an id")
	}
}

func TestRefusedCredentials(t *testing.T) {
	w := newWorld(t)
	other := verifiertest.NewIssuer(t, verifiertest.WithClock(w.clock))
	foreign := gatewaytest.NewLocal(t, w.clock, "11111111-1111-4111-8111-111111111111")
	alice := w.authenticate(t, w.external("alice"))
	el := w.elevate(t, alice, "wallet:export")
	elsewhere, err := foreign.SignIn(context.Background(), "", *alice)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token string
		want        verifier.Code
	}{
		{"control", w.external("alice"), ""},
		{"no token at all", "x", verifier.CodeTokenMalformed},
		{"another login system", other.Token(map[string]any{"aud": audience}), verifier.CodeIssuerMismatch},
		{"another login system with our issuer's name", other.Token(map[string]any{"iss": w.issuer.URL(), "aud": audience}), verifier.CodeKeyNotFound},
		{"another audience", w.external("alice", map[string]any{"aud": "https://other.example"}), verifier.CodeAudienceMismatch},
		{"expired", w.external("alice", map[string]any{"exp": w.clock.Now().Unix()}), verifier.CodeExpired},
		{"an elevated token as a session", el.Token, verifier.CodeTypeMismatch},
		{"a session of another environment", elsewhere.Token, verifier.CodeIssuerMismatch},
		{"an assertion", w.issuer.Assertion("alice", "wallet:export", nil), verifier.CodeIssuerMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := w.env.Authenticate(context.Background(), c.token)
			wantCode(t, err, c.want)
			wantSecret(t, err, c.token)
			if (s == nil) != (c.want != "") {
				t.Errorf("session %+v with error %v", s, err)
			}
		})
	}
}

func TestRememberedIsNotExchangedAgain(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	first := w.authenticate(t, token)
	if second := w.authenticate(t, token); second != first || w.local.count() != 1 {
		t.Errorf("%d exchanges of one token, want 1", w.local.count())
	}
	w.clock.Advance(time.Hour - time.Second) // the session token is about to end
	long := w.external("alice", map[string]any{"exp": w.clock.Now().Add(8 * time.Hour).Unix()})
	w.authenticate(t, long)
	w.clock.Advance(59*time.Minute + 50*time.Second)
	before := w.local.count()
	renewed := w.authenticate(t, long)
	if w.local.count() != before+1 || renewed.Expiry.Sub(w.clock.Now()) < 30*time.Minute {
		t.Errorf("a session token with seconds to live went to the upstream")
	}
}

// A truncated token that hits another token's memory would be somebody else's session.
func TestMemoryComparesTheWholeCredential(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) { c.Memory = collidingCache{gatewaytest.NewMemory()} })
	alice := w.external("alice")
	w.authenticate(t, alice)
	if s := w.authenticate(t, w.external("bob")); s.ExternalID() != "bob" {
		t.Errorf("bob was taken for %s", s.ExternalID())
	}
	for _, wrong := range []string{alice[:len(alice)-1], alice + "A", strings.ToUpper(alice)} {
		if s, err := w.env.Authenticate(context.Background(), wrong); err == nil {
			t.Errorf("an altered token was taken for %s's", s.ExternalID())
		}
	}
}

func TestRememberedStillAsks(t *testing.T) {
	cases := []struct {
		name string
		then func(t *testing.T, w *world, s *gateway.Session)
		want verifier.Code
	}{
		{"control: nothing happens", func(*testing.T, *world, *gateway.Session) {}, ""},
		{"it expires", func(_ *testing.T, w *world, _ *gateway.Session) { w.clock.Advance(time.Hour) }, verifier.CodeExpired},
		{"its key leaves the set", func(_ *testing.T, w *world, _ *gateway.Session) { keysOf(w).gone = true }, verifier.CodeKeyNotFound},
		{"it is revoked", func(t *testing.T, w *world, s *gateway.Session) {
			if err := w.env.Revoke(context.Background(), s); err != nil {
				t.Fatal(err)
			}
		}, gateway.CodeSessionRevoked},
		{"the store cannot tell", func(_ *testing.T, w *world, _ *gateway.Session) { w.store.broken = true }, gateway.CodeStoreUnavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, withdrawable(t))
			token := w.external("alice")
			c.then(t, w, w.authenticate(t, token))
			_, err := w.env.Authenticate(context.Background(), token)
			wantCode(t, err, c.want)
		})
	}
}

// removableKeys is a key set from which all keys can be taken.
type removableKeys struct {
	verifier.KeySet
	gone bool
}

func (k *removableKeys) VerifySignature(ctx context.Context, token *verifier.Token) (verifier.KeyID, error) {
	if k.gone {
		return "", &verifier.Error{Code: verifier.CodeKeyNotFound}
	}
	return k.KeySet.VerifySignature(ctx, token)
}

func (k *removableKeys) Holds(key verifier.KeyID) bool { return !k.gone && k.KeySet.Holds(key) }

// withdrawable gives the world's provider removable keys.
func withdrawable(t *testing.T) func(*gateway.Config) {
	return func(c *gateway.Config) {
		old := c.Providers[0].Verifier
		v, err := verifier.New(verifier.Config{
			Issuer: old.Issuer(), Audiences: []string{audience}, Keys: &removableKeys{KeySet: old.Keys()}, Now: c.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Providers[0].Verifier = v
	}
}

func keysOf(w *world) *removableKeys {
	return w.env.Providers().All()[0].Keys().(*removableKeys)
}

func TestWithdrawnSigningKeyIsMintedAnew(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	w.authenticate(t, token)
	w.local.withdraw = true
	w.authenticate(t, token)
	if got := w.local.count(); got != 2 {
		t.Errorf("%d exchanges, want a second one: the upstream could not verify the first", got)
	}
}

// The work of a flight is nobody's request: no server recovers a panic in it.
func TestPanicInTheExchangeEndsOneRequestOnly(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) { c.Observer = panicking{} })
	token := w.external("alice")
	s, err := w.env.Authenticate(context.Background(), token)
	if s != nil || err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("session %v, error %v", s, err)
	}
	wantSecret(t, err, token)
}

type panicking struct{}

func (panicking) Observe(_ context.Context, e gateway.Event) {
	if e.Kind == gateway.EventVerify {
		panic("token " + string(e.Kind))
	}
}

// A login system that was taken out of the config has no users here any more.
func TestSessionOfALoginSystemThatIsNoLongerTrusted(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	other := verifiertest.NewIssuer(t, verifiertest.WithClock(w.clock))
	later := gatewaytest.NewConfig(t, other, w.clock)
	later.Exchanger = w.local
	env, err := gateway.New(later)
	if err != nil {
		t.Fatal(err)
	}
	_, err = env.Authenticate(context.Background(), s.Token)
	wantCode(t, err, verifier.CodeIssuerMismatch)
}

// Sharing one flight between two tokens would hand one user the other's identity.
func TestManyPrincipalsAtOnceGetTheirOwn(t *testing.T) {
	w := newWorld(t)
	tokens := make([]string, 50)
	for i := range tokens {
		tokens[i] = w.external(fmt.Sprint("user-", i))
	}
	var wg sync.WaitGroup
	for n := range 1000 {
		wg.Go(func() {
			i := n % len(tokens)
			s, err := w.env.Authenticate(context.Background(), tokens[i])
			if err != nil || s.ExternalID() != fmt.Sprint("user-", i) {
				t.Errorf("user-%d: %v, %v", i, s, err)
			}
		})
	}
	wg.Wait()
}

func TestSwitchedOffRefusesEverything(t *testing.T) {
	on := newWorld(t)
	w := newWorld(t, func(c *gateway.Config) { c.Disabled = true })
	ctx := context.Background()
	s := on.authenticate(t, on.external("alice"))
	_, authenticate := w.env.Authenticate(ctx, w.external("alice"))
	_, _, signIn := w.env.SignIn(ctx, w.external("alice"), nil)
	_, refresh := w.env.Refresh(ctx, s)
	_, elevate := w.env.Elevate(ctx, s, w.issuer.Assertion("alice", "x", nil))
	_, stepUp := w.env.StepUp(ctx, s, gateway.Proof{}, gateway.Need{})
	for _, err := range []error{authenticate, signIn, refresh, elevate, stepUp} {
		wantCode(t, err, gateway.CodeExternalAuthDisabled)
	}
}

func TestFailedExchangeLetsNothingThrough(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	w.local.fail = errors.New("connection refused")
	s, err := w.env.Authenticate(context.Background(), token)
	wantCode(t, err, gateway.CodeExchangeFailed)
	if s != nil {
		t.Error("a session in spite of the failure")
	}
	w.local.fail = nil
	w.authenticate(t, token)
}

func TestEmailIsBelievedOnlyWhereItIsVouchedFor(t *testing.T) {
	const address = "a@example.com"
	for _, c := range []struct {
		name     string
		claims   map[string]any
		provider gateway.Provider
		want     string
	}{
		{"verified", map[string]any{"email": address, "email_verified": true}, gateway.Provider{}, address},
		{"verified in camel case", map[string]any{"email": address, "emailVerified": true}, gateway.Provider{}, address},
		{"no word", map[string]any{"email": address}, gateway.Provider{}, ""},
		{"no word, assumed", map[string]any{"email": address}, gateway.Provider{AssumeEmailVerified: true}, address},
		{"explicitly not, assumed", map[string]any{"email": address, "email_verified": false}, gateway.Provider{AssumeEmailVerified: true}, ""},
		{"not a boolean", map[string]any{"email": address, "email_verified": "true"}, gateway.Provider{AssumeEmailVerified: true}, ""},
		{"distrusted", map[string]any{"email": address, "email_verified": true}, gateway.Provider{DistrustEmail: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(cfg *gateway.Config) {
				c.provider.Verifier = cfg.Providers[0].Verifier
				cfg.Providers = []gateway.Provider{c.provider}
			})
			if got := w.authenticate(t, w.external("alice", c.claims)).Email; got != c.want {
				t.Errorf("email %q, want %q", got, c.want)
			}
		})
	}
}
