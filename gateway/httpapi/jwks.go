package httpapi

import "net/http"

// A publisher is an exchanger with keys of its own that others verify with.
type publisher interface {
	// JWKS is the public key set (RFC 7517, section 5).
	JWKS() []byte
}

// jwks publishes the keys that session and elevated tokens are signed with. It may be
// cached for a while: a key is published long before it signs.
func (a *API) jwks(w http.ResponseWriter, r *http.Request) {
	p, ok := a.env.Exchanger().(publisher)
	if !ok {
		a.refuse(w, r, NotFound("this environment signs nothing itself"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(p.JWKS())
}
