package httpapi

import (
	"errors"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// verify exchanges the assertion in the body for an elevated token of the caller's session.
func (a *API) verify(w http.ResponseWriter, r *http.Request) {
	s, err := a.session(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	var in struct {
		JWT string `json:"jwt"`
	}
	if err := readBody(w, r, &in); err != nil {
		a.refuse(w, r, err)
		return
	}
	if in.JWT == "" {
		a.refuseExternal(w, r, &gateway.Refusal{Code: gateway.CodeTokenMissing, Err: errors.New("no assertion in the body's jwt")})
		return
	}
	el, err := a.env.Elevate(r.Context(), s, in.JWT)
	if err != nil {
		a.refuseExternal(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]string{"elevatedAccessToken": el.Token})
}

// stepUpNeeded is what stepUp/check answers. Credentials must be there even where nothing is required.
type stepUpNeeded struct {
	IsRequired  bool         `json:"isRequired"`
	Credentials []credential `json:"credentials"`
}

// checkStepUp says whether a scope has to be asked for here: any that an assertion may name.
func (a *API) checkStepUp(w http.ResponseWriter, r *http.Request) {
	s, err := a.session(r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	var in struct {
		Scope string `json:"scope"`
	}
	if err := readBody(w, r, &in); err != nil {
		a.refuse(w, r, err)
		return
	}
	scopes, err := verifier.ParseScopes(in.Scope)
	if err != nil {
		a.refuse(w, r, badRequest("the body's scope: %w", err))
		return
	}
	out := stepUpNeeded{Credentials: []credential{externalUser(a.env.ID(), s)}}
	for _, scope := range scopes.Names() {
		out.IsRequired = out.IsRequired || a.env.Knows(scope)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, out)
}
