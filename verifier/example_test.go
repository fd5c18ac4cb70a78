package verifier_test

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// The examples have an issuer that lives in memory; yours has a JWK Set behind a URL.
var exampleKey = verifiertest.NewKey(process{}, "ES256")

func exampleKeys() *verifier.StaticKeySet {
	keys, err := verifier.ParseKeySet(verifiertest.JWKS(process{}, exampleKey.JWK()))
	if err != nil {
		panic(err)
	}
	return keys
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// Verify the tokens of an issuer that publishes its keys.
func Example() {
	keys, err := verifier.NewRemoteKeySet(verifier.RemoteConfig{
		URL: "https://auth.example.com/.well-known/jwks.json",
	})
	if err != nil {
		panic(err)
	}
	defer keys.Close()
	v, err := verifier.New(verifier.Config{
		Issuer:    "https://auth.example.com",
		Audiences: []string{"https://api.example.com"},
		Keys:      keys,
		Leeway:    30 * time.Second,
	})
	if err != nil {
		panic(err)
	}
	_, err = v.Verify(context.Background(), "not a token")
	fmt.Println(verifier.CodeOf(err))
	fmt.Println(err)
	// Output:
	// token_malformed
	// token has 0 dots instead of two
}

func ExampleVerifier_Verify() {
	v, err := verifier.New(verifier.Config{Issuer: "https://auth.example.com", Keys: exampleKeys()})
	if err != nil {
		panic(err)
	}
	token := exampleKey.Token(nil, map[string]any{
		"iss": "https://auth.example.com", "sub": "user-1", "exp": in(time.Hour),
		"https://example.com/roles": []string{"admin"},
	})
	claims, err := v.Verify(context.Background(), token)
	if err != nil {
		panic(err)
	}
	roles, _ := claims.Get("https://example.com/roles")
	fmt.Println(claims.Subject, roles)

	// Programs branch on the code, people read the text.
	_, err = v.Verify(context.Background(), exampleKey.Token(nil, map[string]any{"iss": "https://auth.example.com/"}))
	fmt.Println(verifier.CodeOf(err))
	fmt.Println(err)
	// Output:
	// user-1 [admin]
	// issuer_mismatch
	// iss is "https://auth.example.com/", not "https://auth.example.com"
}

func ExampleVerifier_VerifyAssertion() {
	v, err := verifier.New(verifier.Config{
		Issuer:    "https://auth.example.com",
		Keys:      exampleKeys(),
		Assertion: verifier.AssertionRules{Type: "step-up+jwt", MaxLifetime: 5 * time.Minute},
	})
	if err != nil {
		panic(err)
	}
	assertion := exampleKey.Token(map[string]any{"typ": "step-up+jwt"}, map[string]any{
		"sub": "user-1", "scope": "wallet:export", "jti": "6f1c", "exp": in(time.Minute),
	})
	granted, err := v.VerifyAssertion(context.Background(), assertion, "user-1")
	if err != nil {
		panic(err)
	}
	fmt.Println(granted.Scopes, granted.ID)

	_, err = v.VerifyAssertion(context.Background(), assertion, "user-2")
	fmt.Println(verifier.CodeOf(err))
	// Output:
	// wallet:export 6f1c
	// subject_mismatch
}

// Check shows every rule, not only the first that is broken.
func ExampleVerifier_Check() {
	v, err := verifier.New(verifier.Config{
		Issuer: "https://auth.example.com", Audiences: []string{"https://api.example.com"}, Keys: exampleKeys(),
	})
	if err != nil {
		panic(err)
	}
	token := exampleKey.Token(nil, map[string]any{"iss": "https://auth.example.com", "sub": "user-1", "exp": 1})
	for _, check := range v.Check(context.Background(), token) {
		if check.Err != nil {
			fmt.Printf("%s: %v\n", check.Name, check.Err)
		}
	}
	// Output:
	// expiry: expired at 1970-01-01T00:00:01Z
	// audience: aud is missing or empty
}

func ExampleParseScopes() {
	granted, err := verifier.ParseScopes("wallet:export wallet:sign")
	if err != nil {
		panic(err)
	}
	needed, err := verifier.ParseScopes("wallet:sign")
	if err != nil {
		panic(err)
	}
	fmt.Println(granted.HasAll(needed), granted.Without(needed))
	// Output: true wallet:export
}

// Several issuers: the token says by whom it wants to be verified, and has to bear it.
func ExampleProviders() {
	var vs []*verifier.Verifier
	for _, issuer := range []string{"https://auth.example.com", "https://login.example.com"} {
		v, err := verifier.New(verifier.Config{Issuer: issuer, Keys: exampleKeys()})
		if err != nil {
			panic(err)
		}
		vs = append(vs, v)
	}
	providers, err := verifier.NewProviders(vs...)
	if err != nil {
		panic(err)
	}
	claims, err := providers.Verify(context.Background(), exampleKey.Token(nil, map[string]any{
		"iss": "https://login.example.com", "sub": "user-1", "exp": in(time.Hour),
	}))
	if err != nil {
		panic(err)
	}
	fmt.Println(claims.Issuer)
	// Output: https://login.example.com
}
