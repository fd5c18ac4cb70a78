package caddymodule

import (
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// adminDecisions answers GET /byoa/environments/{name}/decisions: what was decided
// lately, the newest first.
func adminDecisions(w http.ResponseWriter, _ *http.Request, _ *live, env *gateway.Environment) error {
	return writeAdmin(w, http.StatusOK, recentDecisions(env.ID()))
}
