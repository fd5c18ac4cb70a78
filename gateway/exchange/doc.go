// Package exchange holds the exchangers of a gateway: each turns what a login
// system signed into tokens that the services behind the gateway can use. All
// implement [gateway.Exchanger].
//
// # The local exchanger
//
// [Local] is an issuer of its own. It mints JWTs with the keys of a [KeyRing],
// which keeps them in storage that every instance shares, rotates them, and
// publishes their public halves, so that services verify its tokens as they would
// any other issuer's:
//
//   - A session token says who the user is. Beside the claims for services it
//     carries the external JWT's claims set, whole, so that any instance can make
//     the session of it again after any restart, without a record.
//   - An elevated token says what the user may do for a few minutes. It holds
//     scopes and whether it may be used once only, and leaves the claims set out.
//
// Both have the header type at+jwt (RFC 9068) and tell themselves apart by
// token_use; a service should check it, and must check iss and aud. Neither is
// encrypted: whoever holds a session token can read the external JWT's claims in it.
//
// That a token was used up or revoked is not known here, but to the environment.
package exchange
