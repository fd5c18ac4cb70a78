package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// switchView says whether an environment takes tokens, and who switched it off.
type switchView struct {
	Enabled    bool   `json:"enabled"`
	DisabledBy string `json:"disabled_by"`
}

// switchOf counts an environment as off where its store cannot tell, as requests do.
func switchOf(env *gateway.Environment) switchView {
	by, err := env.DisabledBy()
	return switchView{Enabled: err == nil && by == "", DisabledBy: string(by)}
}

// adminDisable answers POST /byoa/environments/{name}/disable.
func adminDisable(w http.ResponseWriter, r *http.Request, _ *live, env *gateway.Environment) error {
	return turn(w, r, env, env.Disable)
}

// adminEnable answers POST /byoa/environments/{name}/enable.
func adminEnable(w http.ResponseWriter, r *http.Request, _ *live, env *gateway.Environment) error {
	return turn(w, r, env, env.Enable)
}

// turn turns the operator's switch, and answers how it stands then. It is kept in the
// store: for every instance that shares it, through reloads and restarts.
func turn(w http.ResponseWriter, r *http.Request, env *gateway.Environment, to func(context.Context) error) error {
	if err := to(r.Context()); err != nil {
		return adminFailure(err)
	}
	return writeAdmin(w, http.StatusOK, switchOf(env))
}
