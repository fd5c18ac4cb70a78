// Package verifier says whether a token is good: a JSON Web Token (RFC 7519) in
// compact serialization, signed by a known issuer with an asymmetric key.
//
// In most cases: make a key set ([NewRemoteKeySet] for a JWK Set behind a URL, or one
// that the issuer's metadata names, [NewFileKeySet] for one in a file, [ParseKeySet] for one that never changes), give
// it to [New] together with the issuer and an audience, and call [Verifier.Verify].
// Several issuers make [Providers].
//
//	keys, err := verifier.NewRemoteKeySet(verifier.RemoteConfig{
//		URL: "https://auth.example.com/.well-known/jwks.json",
//	})
//	…
//	defer keys.Close()
//	v, err := verifier.New(verifier.Config{
//		Issuer:    "https://auth.example.com",
//		Audiences: []string{"https://api.example.com"},
//		Keys:      keys,
//	})
//	…
//	claims, err := v.Verify(ctx, token)
//
// # Two kinds of token
//
// [Verifier.Verify] is for tokens that say who somebody is. [Verifier.VerifyAssertion]
// is for tokens by which an issuer grants one user some scopes, once. They share the
// rules for signatures and dates, and are kept apart: what would pass as the one does
// not pass as the other. Read [AssertionRules] before using assertions.
//
// # Where to find what
//
//   - [Parse]: bytes to a [Token]. Strict, so that no token has two readings.
//   - [Verifier]: the rules for claims, as a list of named steps. Verify stops at the
//     first that fails; [Verifier.Check] runs them all, for people who want to know.
//   - [KeySet]: the rules for keys and signatures. The key decides the algorithm, not
//     the token.
//   - [Claims], [Assertion], [Scopes]: what a good token says.
//   - [Error], [Code], [CodeOf]: why a token is refused.
//   - Package verifiertest: an issuer for tests, and the test vectors.
//
// # What it does not check
//
//   - Whether a token was revoked, or an assertion used before. The ID of an assertion
//     has to be recorded as used, by the caller, at the moment it is used.
//   - Whether the scopes of an assertion may be granted, or the token is enough for
//     what its bearer asks. That is policy.
//   - Who presents the token: it is a bearer token. Claims such as cnf, azp, acr and
//     auth_time are there to be read ([Claims.Get]) and have no effect here.
//   - The audience, unless [Config].Audiences is set.
//   - Certificates: x5c, x5u and x5t are never used, in a token or in a JWK Set.
//
// # Compatibility
//
// Codes and the names of steps are stable; texts of errors are not. No type of the
// JOSE library underneath shows in this API. Nothing here logs: key sets report
// through their Refreshed function.
//
// Everything may be used concurrently unless it says otherwise.
package verifier
