package caddymodule

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// adminRevokeSession answers DELETE /byoa/sessions/{sid}.
func adminRevokeSession(w http.ResponseWriter, r *http.Request, app *App) error {
	return revokeEverywhere(w, app, func(env *gateway.Environment) error {
		return env.RevokeSession(r.Context(), r.PathValue("sid"))
	})
}

// adminRevokeUser answers DELETE /byoa/users/{id}/sessions.
func adminRevokeUser(w http.ResponseWriter, r *http.Request, app *App) error {
	return revokeEverywhere(w, app, func(env *gateway.Environment) error {
		return env.RevokeUser(r.Context(), r.PathValue("id"))
	})
}

// revokeEverywhere ends something in every environment: an id does not say whose it is.
// 204 means that it is over in all of them. One that fails keeps no other from trying.
func revokeEverywhere(w http.ResponseWriter, app *App, end func(*gateway.Environment) error) error {
	var failures []error
	for _, name := range app.names() {
		env, err := app.live[name].gateway()
		if err == nil {
			err = end(env)
		}
		if gateway.CodeOf(err) == gateway.CodeBadRequest { // the id is none, here and everywhere
			return adminFailure(err)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("environment %s: %w", name, withCause(err)))
		}
	}
	if len(failures) > 0 {
		return adminError(http.StatusServiceUnavailable, fmt.Errorf("not revoked everywhere; try again: %w", errors.Join(failures...)))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
