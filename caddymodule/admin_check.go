package caddymodule

import (
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// adminCheck answers POST /byoa/environments/{name}/check, as the endpoint of byoa_api
// does where that is public: with the keys at hand, and with every rule that is broken.
func adminCheck(w http.ResponseWriter, r *http.Request, _ *live, env *gateway.Environment) error {
	report, err := httpapi.Judge(r, env)
	if err != nil {
		return adminFailure(err)
	}
	return writeAdmin(w, http.StatusOK, report)
}
