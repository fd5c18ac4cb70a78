package exchange

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// clockLeeway is how far the clock of the instance that minted a token may be ahead of ours.
const clockLeeway = 30 * time.Second

// LocalConfig describes a [Local].
type LocalConfig struct {
	// Environment is the ID of the environment, a UUID. Required.
	Environment string

	// Issuer is the `iss` of what is minted, and must not be the issuer of any
	// external JWT. Empty: urn:uuid: and the environment's ID.
	Issuer string

	// Audience is the `aud` of what is minted. Empty: the environment's ID.
	Audience string

	// Ring signs and verifies. It may serve several environments, each of which
	// opens its own tokens only. Required.
	Ring *KeyRing

	// MaxTokenBytes is the length up to which external JWTs are accepted: session
	// tokens hold their claims and are larger. Not positive: 16 KiB.
	MaxTokenBytes int

	Now func() time.Time // nil: time.Now
}

// Local is the exchanger that is an issuer itself: it mints session tokens and
// elevated tokens as JWT access tokens (RFC 9068) with the keys of its ring, and
// verifies them as strictly as any issuer's. It holds no state but the ring.
type Local struct {
	cfg      LocalConfig
	verifier *verifier.Verifier
	maxBytes int
}

var _ gateway.Exchanger = (*Local)(nil)

// NewLocal returns the exchanger of one environment.
func NewLocal(cfg LocalConfig) (*Local, error) {
	const canonical = len("00000000-0000-0000-0000-000000000000")
	if _, err := uuid.Parse(cfg.Environment); err != nil || len(cfg.Environment) != canonical {
		return nil, fmt.Errorf("configuring the local exchange: environment %q is not a UUID", cfg.Environment)
	}
	if cfg.Ring == nil {
		return nil, errors.New("configuring the local exchange: no key ring")
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "urn:uuid:" + cfg.Environment
	}
	if cfg.Audience == "" {
		cfg.Audience = cfg.Environment
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Local{cfg: cfg, maxBytes: largestToken(cfg)}
	var err error
	l.verifier, err = verifier.New(verifier.Config{
		Issuer:     cfg.Issuer,
		Audiences:  []string{cfg.Audience},
		Algorithms: []string{"ES256", "EdDSA", "RS256"}, // what a ring can hold; each of its keys is for one of them
		Keys:       cfg.Ring,
		Leeway:     clockLeeway,
		MaxBytes:   l.maxBytes,
		Now:        cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the local exchange: %w", err)
	}
	return l, nil
}

// largestToken is the length of the longest token that an acceptable external JWT
// can lead to. Of its n bytes, 3/4·n at most are claims. They come back whole, and
// those that we repeat beside them (sub, email, client) once more; JSON may write
// a character of three bytes in six. That is at most three times the claims, and
// base64url makes 4/3 of it: 3·n. The rest is what we add ourselves, and the signature.
func largestToken(cfg LocalConfig) int {
	const (
		defaultExternal = 16 << 10
		ours            = 3 << 10
	)
	external := cfg.MaxTokenBytes
	if external <= 0 {
		external = defaultExternal
	}
	return 3*external + 8*(len(cfg.Issuer)+len(cfg.Audience)) + ours // JSON can write one byte in six
}

// Issuer returns the `iss` of what is minted.
func (l *Local) Issuer() string { return l.cfg.Issuer }

// JWKS returns the keys that services verify minted tokens with, as a JWK Set.
func (l *Local) JWKS() []byte { return l.cfg.Ring.JWKS() }

// Ring returns the keys that sign and verify, for their status and for a rotation by hand.
func (l *Local) Ring() *KeyRing { return l.cfg.Ring }

// Holds implements [gateway.Exchanger]: it says whether the ring still publishes key.
func (l *Local) Holds(key verifier.KeyID) bool { return l.cfg.Ring.Holds(key) }

// SignIn implements [gateway.Exchanger]: it mints a session token for what want
// says, whether or not there is an external JWT. The result expires with the last
// whole second before want does; where that has come already, it is a
// [verifier.CodeExpired]. Without a key to sign with it is a [verifier.CodeKeysUnavailable].
func (l *Local) SignIn(_ context.Context, _ string, want gateway.Session) (*gateway.Session, error) {
	if want.External == nil || want.External.Subject == "" || want.ID == "" || want.UserID == "" || want.Origin == "" {
		return nil, fmt.Errorf("minting a session token: %w", errIncomplete)
	}
	claims, err := l.claims(want.External, want.Expiry)
	if err != nil {
		return nil, err
	}
	claims.Subject, claims.Session, claims.Email, claims.Use = want.UserID, want.ID, want.Email, useSession
	if claims.ID, err = randomID(); err != nil {
		return nil, err
	}
	minted := sessionClaims{
		mintedClaims: claims,
		External:     want.External.Payload(),
		RefreshUntil: want.RefreshUntil.Unix(),
		Origin:       want.Origin,
	}
	want.Token, want.Key, err = l.cfg.Ring.Sign(tokenType, func(kid string) any {
		minted.Kid = kid
		return minted
	})
	if err != nil {
		return nil, err
	}
	// What we would not accept back we do not hand out: claims that nest as deep as
	// can be read nest one deeper in a session token.
	if _, err := verifier.Parse(want.Token, l.maxBytes); err != nil {
		return nil, fmt.Errorf("exchanging the token's claims: %w", err)
	}
	want.IssuedAt, want.Expiry = seconds(claims.IssuedAt), seconds(claims.Expiry)
	want.RefreshUntil = seconds(minted.RefreshUntil)
	want.Presented = false
	return &want, nil
}

// Elevate implements [gateway.Exchanger]: it mints an elevated token for what want
// says, with a random ID if want has none. It expires, and fails, as in [Local.SignIn].
func (l *Local) Elevate(_ context.Context, s *gateway.Session, _ string, want gateway.Elevated) (*gateway.Elevated, error) {
	if s == nil || s.External == nil || want.Session == "" || want.UserID == "" || want.ExternalID == "" || want.Scopes.Empty() {
		return nil, fmt.Errorf("minting an elevated token: %w", errIncomplete)
	}
	claims, err := l.claims(s.External, want.Expiry)
	if err != nil {
		return nil, err
	}
	claims.Subject, claims.Session, claims.ExternalID = want.UserID, want.Session, want.ExternalID
	claims.Email, claims.Use = s.Email, useElevated
	if want.ID == "" {
		if want.ID, err = randomID(); err != nil {
			return nil, err
		}
	}
	claims.ID = want.ID
	minted := elevatedClaims{mintedClaims: claims, Scope: want.Scopes.String(), SingleUse: &want.SingleUse}
	want.Token, _, err = l.cfg.Ring.Sign(tokenType, func(kid string) any {
		minted.Kid = kid
		return minted
	})
	if err != nil {
		return nil, err
	}
	want.IssuedAt, want.Expiry = seconds(claims.IssuedAt), seconds(claims.Expiry)
	return &want, nil
}

// claims are those that both kinds of token have for the same reason. Dates are
// whole seconds, rounded down: a token never lives longer than it may, nor
// longer than the key that signs it is published.
func (l *Local) claims(external *verifier.Claims, latest time.Time) (mintedClaims, error) {
	now := l.cfg.Now()
	if end := now.Add(l.cfg.Ring.lifetime); end.Before(latest) {
		latest = end
	}
	c := mintedClaims{
		Issuer:      l.cfg.Issuer,
		Audience:    l.cfg.Audience,
		Expiry:      latest.Unix(),
		IssuedAt:    now.Unix(),
		Client:      clientOf(external, l.cfg.Environment),
		Environment: l.cfg.Environment,
		Credential:  gateway.CredentialID(l.cfg.Environment, "externalUser", external.Issuer, external.Subject),
		ExternalID:  external.Subject,
	}
	if !now.Before(seconds(c.Expiry)) {
		return c, refuse(verifier.CodeExpired, "less than a second is left: a token for it would have expired already")
	}
	return c, nil
}

// OpenSession implements [gateway.Exchanger]. The session comes back as it was
// minted, except that it counts as presented by the client.
func (l *Local) OpenSession(ctx context.Context, token string) (*gateway.Session, error) {
	var minted sessionClaims
	c, err := l.open(ctx, token, &minted)
	if err != nil {
		return nil, err
	}
	if err := minted.belongs(c, l.cfg.Environment, useSession); err != nil {
		return nil, err
	}
	return minted.session(token, c)
}

// OpenElevated implements [gateway.Exchanger]. That the token is for this user and
// session, and was not used before, is for the caller to see to.
func (l *Local) OpenElevated(ctx context.Context, token string) (*gateway.Elevated, error) {
	var minted elevatedClaims
	c, err := l.open(ctx, token, &minted)
	if err != nil {
		return nil, err
	}
	if err := minted.belongs(c, l.cfg.Environment, useElevated); err != nil {
		return nil, err
	}
	return minted.elevated(token, c)
}

// open verifies a token of ours and decodes its claims. The token's own word for
// its issuer only decides who is asked about it.
func (l *Local) open(ctx context.Context, token string, claims any) (*verifier.Claims, error) {
	t, err := verifier.Parse(token, l.maxBytes)
	if err != nil {
		return nil, err
	}
	if t.Issuer() != l.cfg.Issuer {
		return nil, gateway.ErrForeign
	}
	c, err := l.verifier.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := c.Decode(claims); err != nil {
		return nil, refuse(verifier.CodeTokenMalformed, "a claim of the token has the wrong type")
	}
	return c, nil
}

func randomID() (string, error) {
	id, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making a token's id: %w", err)
	}
	return id.String(), nil
}

func seconds(s int64) time.Time { return time.Unix(s, 0) }
