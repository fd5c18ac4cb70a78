package httpapi

import (
	"errors"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// elevated is what verify answers. The SDKs read scope, exp and singleUse of the token,
// keep it until it expires or is used, and send it with the calls that need one of its scopes.
type elevated struct {
	Token string `json:"elevatedAccessToken"`
}

// verify exchanges the assertion in the body for an elevated token of the caller's session.
func (a *API) verify(w http.ResponseWriter, r *http.Request) {
	s, err := a.session(w, r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	var in struct {
		JWT string `json:"jwt"`
	}
	if err := readBody(r, &in); err != nil {
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
	writeFresh(w, elevated{el.Token})
}

// stepUpNeeded is what stepUp/check answers.
type stepUpNeeded struct {
	// IsRequired has the SDKs tell the app to get an assertion. They ask only where they
	// hold no token with the scope.
	IsRequired bool `json:"isRequired"`

	// Credentials are those that can meet the requirement: the one that the user has
	// signed in with, and no other of theirs. An assertion is verified with the keys of
	// that login system and must be about its subject, so that whoever had another
	// identity confirm would be refused. The SDKs want the list also where nothing is required.
	Credentials []stepUpCredential `json:"credentials"`

	DefaultCredentialID string `json:"defaultCredentialId"`
}

type stepUpCredential struct {
	ID     string `json:"id"`
	Format string `json:"format"`
}

// checkStepUp says whether a scope has to be asked for here: any that an assertion may name.
func (a *API) checkStepUp(w http.ResponseWriter, r *http.Request) {
	s, err := a.session(w, r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	var in struct {
		Scope string `json:"scope"`
	}
	if err := readBody(r, &in); err != nil {
		a.refuse(w, r, err)
		return
	}
	scopes, err := verifier.ParseScopes(in.Scope)
	if err != nil {
		a.refuse(w, r, badRequest("the body's scope: %w", err))
		return
	}
	own := externalUser(a.env.ID(), identityOf(s))
	out := stepUpNeeded{
		Credentials:         []stepUpCredential{{own.ID, own.Format}},
		DefaultCredentialID: own.ID,
	}
	for _, scope := range scopes.Names() {
		out.IsRequired = out.IsRequired || a.env.Knows(scope)
	}
	writeFresh(w, out)
}
