// Package gateway decides what a good token buys.
//
// Package verifier says whether a token is good; this package turns the external
// JWT of somebody's own login system into a session, and demands a fresh,
// single-use, scope-bound permission for what is sensitive. It knows nothing of
// the server that it runs in: the Caddy module in caddymodule and the endpoints
// in gateway/httpapi are both built on it, and another server could be.
//
//   - [Environment] is the whole of it: one login system (or several) and its users.
//     [Environment.Authenticate] answers "who is this?" and is in authenticate.go;
//     [Environment.StepUp] answers "may they do this now?" and is in stepup.go.
//     Both read from top to bottom. [Environment.SignIn] starts a session that can be
//     carried on, and may link an identity to a user: it is in signin.go. What ends a
//     session before its time is in revoke.go, and how anybody is told of it in marks.go.
//   - [Exchanger] mints session and elevated tokens, or has them minted elsewhere.
//     Package gateway/exchange has the ones that exist.
//   - [Store] is the record of what was used up and revoked, and its [Directory] that of
//     who has signed in, and which identities are one user's; [Cache] remembers what was
//     verified, and may forget. Package gateway/store has both.
//   - [Refusal] and [verifier.Error] are verdicts, each with a stable code; [CodeOf] tells
//     it. Any other error is a failure of ours, and whoever meets one refuses too.
//   - [Observer] is told of each decision, for metrics and the audit log.
//
// Nothing here is ever let through because a part is down.
package gateway
