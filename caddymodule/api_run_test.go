package caddymodule_test

import (
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestSwitchedOff(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			enabled off
		}`, plainSite)
	g.want(request{path: "/wallets/1"}, 403, "external_auth_disabled")
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 403, "external_auth_disabled")
	g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/signin", body: `{"jwt":"` + g.external("alice") + `"}`}, 403, "external_auth_disabled")
}

func TestEndpointsLeaveOtherPathsAlone(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api /api/v0
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/api/v0/users"}, 200, "")
	g.want(request{path: "/api/v0/sdk/11111111-1111-4111-8111-111111111111/refresh", method: "POST"}, 404, "not_found")
	g.want(request{path: "/api/v0/sdk/" + environmentID + "/refresh", method: "POST"}, 401, "token_missing")
	g.want(request{path: "/api/v0/sdk/" + environmentID + "/.well-known/jwks.json"}, 200, "")
}

func TestCheckIsPublicOnlyIfItIsSaidTo(t *testing.T) {
	check := request{method: "POST", path: "/api/v0/environments/" + environmentID + "/externalJwt/check"}
	g := start(t, plainEnvironment, `byoa_api {
		check public
	}
	reverse_proxy {{upstream}}`)
	g.signIn("alice") // so that the issuer's keys are here: a check fetches none
	check.body = `{"encodedJwt":"` + g.external("alice", map[string]any{"aud": "elsewhere"}) + `"}`
	if got := g.want(check, 200, ""); got.body["valid"] != false || !strings.Contains(got.raw, `"errors":["audience_mismatch"]`) {
		t.Errorf("answer %s", got.raw)
	}
	fetches := g.issuer.Fetches()
	other := verifiertest.NewIssuer(t)
	check.body = `{"encodedJwt":"` + g.secret(other.Token(map[string]any{"iss": g.issuer.URL(), "aud": audience})) + `"}`
	if got := g.want(check, 200, ""); !strings.Contains(got.raw, `"errors":["key_not_found"]`) {
		t.Errorf("answer %s", got.raw)
	}
	if n := g.issuer.Fetches() - fetches; n != 0 {
		t.Errorf("a stranger's question caused %d fetches", n)
	}
	g.load(plainEnvironment, "byoa_api\n\treverse_proxy {{upstream}}")
	if got := g.want(check, 200, ""); got.raw != "upstream" {
		t.Errorf("answered without being told to: %s", got.raw)
	}
}

func TestEndpointPathsMustBePlain(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	endpoint := "/api/v0/sdk/" + environmentID + "/"
	g.want(request{method: "POST", path: endpoint + "x/..%2frefresh"}, 400, "ambiguous_path")
	g.want(request{method: "POST", path: endpoint + "refresh"}, 401, "token_missing")
}
