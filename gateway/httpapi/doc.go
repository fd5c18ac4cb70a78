// Package httpapi serves the endpoints of one environment over plain net/http, in the
// shape that the JavaScript SDKs call them:
//
//	POST externalAuth/signin    an external JWT for a session
//	POST externalAuth/verify    an assertion for an elevated token
//	POST stepUp/check           does a scope have to be asked for?
//	POST refresh                a new token of the same session
//	POST revoke                 the end of a session
//	GET  users                  who is signed in
//	GET  settings               what the SDKs want to know before anybody is
//	GET  nonces, nonce          what they sign with the key of their device
//	POST sdkSettings            telemetry, which is thrown away
//	GET  .well-known/jwks       the keys that our tokens are signed with,
//	GET  .well-known/jwks.json  the same
//
// and, apart from them, [API.ServeCheck], which says of a token which rules it breaks.
//
// It decides nothing about tokens: each endpoint reads a request, asks the
// [gateway.Environment], and writes the answer. [AnswerTo] is how any error of the
// gateway is said in HTTP, here and by whoever else serves it.
//
// Whoever serves an [API] takes the path apart first, and hands over what comes after
// the environment's own; answers preflights and adds the CORS headers, also to
// errors; and says with [Options.CookieAllowed] which requests may use a cookie. Where
// several instances serve one environment, they share [Options.NonceKey].
package httpapi
