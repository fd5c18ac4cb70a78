package caddymodule

import (
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestGateMistakes(t *testing.T) {
	for _, c := range []struct{ name, bad, good, want string }{
		{"environment", `{"environment": "a b"}`, `{"environment": "a_b"}`, "environment: "},
		{"token header is no name", `{"token_header": {"name": "X Token"}}`, `{"token_header": {"name": "X-Token"}}`, "token_header: "},
		{"scheme is no token", `{"token_header": {"scheme": "Bearer "}}`, `{"token_header": {"scheme": "DPoP"}}`, "token_header: scheme: "},
		{"token in Cookie", `{"token_header": {"name": "Cookie"}}`, `{"token_header": {"name": "X-Cookie"}}`, "token_header: Cookie is not the gateway's to set"},
		{"token in a hop-by-hop header", `{"token_header": {"name": "proxy_authorization"}}`, `{"token_header": {"name": "Authorization"}}`, "token_header: proxy_authorization is not"},
		{"elevated token in the token's header", `{"elevated_header": "AUTHORIZATION"}`, `{"elevated_header": "X-Elevated"}`, "token_header: Authorization is elevated_header AUTHORIZATION too"},
		{
			"elevated token in a claim's header", `{"elevated_header": "X.El", "claim_headers": [{"name": "X-El", "claim": "a"}]}`,
			`{"elevated_header": "X.El", "claim_headers": [{"name": "X-Ela", "claim": "a"}]}`, "elevated_header: X.El is claim_header X-El too",
		},
		{
			"claim in the token's header", `{"token_header": {"name": "X-Token"}, "claim_headers": [{"name": "x_token", "claim": "a"}]}`,
			`{"token_header": {"name": "X-Token"}, "claim_headers": [{"name": "Authorization", "claim": "a"}]}`, "token_header: X-Token is claim_header x_token too",
		},
		{
			"two claims in one header", `{"claim_headers": [{"name": "X-A_B", "claim": "a"}, {"name": "x.a-b", "claim": "b"}]}`,
			`{"claim_headers": [{"name": "X-A_B", "claim": "a"}, {"name": "x-ab", "claim": "b"}]}`, "claim_header: X-A_B is claim_header x.a-b too",
		},
		{"claim without a name", `{"claim_headers": [{"name": "X-A"}]}`, `{"claim_headers": [{"name": "X-A", "claim": "a"}]}`, "claim_header: claim of X-A: must not be empty"},
		{"claim header without a name", `{"claim_headers": [{"claim": "a"}]}`, `{"claim_headers": [{"name": "X-A", "claim": "a"}]}`, "claim_header: "},
		{"claim as the method", `{"claim_headers": [{"name": "X-HTTP_Method-Override", "claim": "a"}]}`, `{"claim_headers": [{"name": "X-HTTP", "claim": "a"}]}`, "claim_header: X-HTTP_Method-Override is not"},
		{"claim as the length", `{"claim_headers": [{"name": "content-length", "claim": "a"}]}`, `{"claim_headers": [{"name": "content", "claim": "a"}]}`, "claim_header: content-length is not"},
		{"claim in the handshake", `{"claim_headers": [{"name": "Sec_WebSocket_Key", "claim": "a"}]}`, `{"claim_headers": [{"name": "Section", "claim": "a"}]}`, "claim_header: Sec_WebSocket_Key is not"},
		{"query parameter", `{"allow_query": "a&b"}`, `{"allow_query": "a-b"}`, "allow_query: "},
		{"path class", `{"allow_path": ["control"]}`, `{"allow_path": ["semicolon"]}`, `allow_path: unknown class of paths "control"`},
		{"stream lifetime", `{"stream_lifetime": "5m"}`, `{"stream_lifetime": "unlimited"}`, "stream_lifetime: must be token or unlimited"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := new(Gate), new(Gate)
			decode(t, bad, c.bad)
			wantError(t, bad.validate(), c.want)
			decode(t, good, c.good)
			if err := good.validate(); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

func TestGateDefaults(t *testing.T) {
	for _, c := range []struct {
		config string
		want   TokenHeader
	}{
		{`{}`, TokenHeader{"Authorization", "Bearer"}},
		{`{"token_header": {"name": "authorization"}}`, TokenHeader{"authorization", "Bearer"}},
		{`{"token_header": {"name": "Authorization", "scheme": "Token"}}`, TokenHeader{"Authorization", "Token"}},
		{`{"token_header": {"name": "X-Token"}}`, TokenHeader{"X-Token", ""}},
		{`{"token_header": {"scheme": "Token"}}`, TokenHeader{"Authorization", "Token"}},
	} {
		g := new(Gate)
		decode(t, g, c.config)
		g.setDefaults()
		if g.TokenHeader != c.want {
			t.Errorf("%s: the token goes to %+v, want %+v", c.config, g.TokenHeader, c.want)
		}
		if g.StreamLifetime != streamToken {
			t.Errorf("%s: stream_lifetime is %q, want %q", c.config, g.StreamLifetime, streamToken)
		}
	}
}

// Where the external JWT stays in its header, the upstream's token cannot be there too.
func TestKeepExternalNeedsAHeaderOfItsOwn(t *testing.T) {
	for _, c := range []struct{ environment, gate, want string }{
		{`{}`, `{}`, ""},
		{`{}`, `{"keep_external": true}`, "keep_external: Authorization carries the external JWT and is token_header Authorization too"},
		{`{}`, `{"keep_external": true, "token_header": {"name": "X-Session"}}`, ""},
		{`{"header": "X-External"}`, `{"keep_external": true}`, ""},
		{`{"header": "X-External"}`, `{"keep_external": true, "token_header": {"name": "x_external"}}`, "is token_header x_external too"},
		{`{"header": "X-External"}`, `{"keep_external": true, "elevated_header": "x.external"}`, "is elevated_header x.external too"},
		{`{"header": "X-External"}`, `{"keep_external": true, "claim_headers": [{"name": "X-EXTERNAL", "claim": "a"}]}`, "is claim_header X-EXTERNAL too"},
		{`{"header": "X-External"}`, `{"token_header": {"name": "X-External"}}`, ""},
	} {
		e, g := environment(t, c.environment), new(Gate)
		if err := load(e, "production"); err != nil {
			t.Fatal(err)
		}
		decode(t, g, c.gate)
		err := g.validateWith(e)
		if c.want != "" {
			wantError(t, err, c.want)
		} else if err != nil {
			t.Errorf("%s with %s: %v", c.gate, c.environment, err)
		}
	}
}

func TestStepUpMistakes(t *testing.T) {
	for _, c := range []struct{ name, bad, good, want string }{
		{"asks for nothing", `{}`, `{"scopes": ["a"]}`, "asks for nothing"},
		{"asks only for a fresh login", `{"max_age": "5m"}`, `{"max_age": "5m", "default": "session"}`, "asks for nothing"},
		{"an empty table", `{"routes": []}`, `{"routes": [], "default": "deny"}`, "asks for nothing"},
		{"both forms", `{"scopes": ["a"], "routes": [{"pattern": "/", "deny": true}]}`, `{"routes": [{"pattern": "/", "deny": true}]}`, "not both"},
		{"scopes and a default", `{"scopes": ["a"], "default": "deny"}`, `{"default": "deny"}`, "not both"},
		{"two scopes in one", `{"scopes": ["a b"]}`, `{"scopes": ["a", "b"]}`, `scopes: malformed scope "a b"`},
		{"empty scope", `{"scopes": [""]}`, `{"scopes": ["a"]}`, "scopes: malformed scope"},
		{"default", `{"default": "allow"}`, `{"default": "session"}`, `default: must be deny or session, not "allow"`},
		{"openapi", `{"openapi": "api.yaml "}`, `{"openapi": "my api.yaml"}`, "openapi: must not begin or end with a space"},
		{"scopes and openapi", `{"scopes": ["a"], "openapi": "api.yaml"}`, `{"openapi": "api.yaml"}`, "not both"},
		{"max_age", `{"scopes": ["a"], "max_age": "-5m"}`, `{"scopes": ["a"], "max_age": "5m"}`, "max_age: must be between"},
		{"acr", `{"scopes": ["a"], "acr": ["a\"b"]}`, `{"scopes": ["a"], "acr": ["a:b"]}`, "acr: "},
		{"route that says nothing", `{"routes": [{"pattern": "/a"}]}`, `{"routes": [{"pattern": "/a", "session": true}]}`, "routes[0]: /a: exactly one of"},
		{"route that says two things", `{"routes": [{"pattern": "/a", "session": true, "scopes": ["a"]}]}`, `{"routes": [{"pattern": "/a", "scopes": ["a"]}]}`, "routes[0]: /a: exactly one of"},
		{"route that denies and lets on", `{"routes": [{"pattern": "/a", "session": true, "deny": true}]}`, `{"routes": [{"pattern": "/a", "deny": true}]}`, "routes[0]: /a: exactly one of"},
		{"route with a malformed scope", `{"routes": [{"pattern": "/a", "scopes": ["a\tb"]}]}`, `{"routes": [{"pattern": "/a", "scopes": ["a,b"]}]}`, "routes[0]: malformed scope"},
		{"method in small letters", `{"routes": [{"method": "get", "pattern": "/a", "deny": true}]}`, `{"routes": [{"method": "GET", "pattern": "/a", "deny": true}]}`, `routes[0]: "get" is no method`},
		{"pattern is missing", `{"routes": [{"method": "GET", "deny": true}]}`, `{"routes": [{"pattern": "/", "deny": true}]}`, "must begin with /"},
		{"pattern with a method", `{"routes": [{"pattern": "GET /a", "deny": true}]}`, `{"routes": [{"pattern": "/a", "deny": true}]}`, "must begin with /"},
		{"wildcard without a name", `{"routes": [{"pattern": "/{}", "deny": true}]}`, `{"routes": [{"pattern": "/{a}", "deny": true}]}`, "is no wildcard"},
		{"placeholder", `{"routes": [{"pattern": "/{env.BASE}/a", "deny": true}]}`, `{"routes": [{"pattern": "/{env_BASE}/a", "deny": true}]}`, "{env.BASE} is a placeholder"},
		{"placeholder for the rest", `{"routes": [{"pattern": "/{env.BASE...}", "deny": true}]}`, `{"routes": [{"pattern": "/{BASE...}", "deny": true}]}`, "{env.BASE...} is a placeholder"},
		{"rest without a name", `{"routes": [{"pattern": "/{...}", "deny": true}]}`, `{"routes": [{"pattern": "/{a...}", "deny": true}]}`, "is no wildcard"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := new(StepUp), new(StepUp)
			decode(t, bad, c.bad)
			wantError(t, bad.validate(), c.want)
			decode(t, good, c.good)
			if err := good.validate(); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

func TestAPIMistakes(t *testing.T) {
	for _, c := range []struct{ name, bad, good, want string }{
		{"relative prefix", `{"prefix": "api"}`, `{"prefix": "/api"}`, "prefix: "},
		{"prefix with a trailing slash", `{"prefix": "/api/"}`, `{"prefix": "/"}`, "prefix: "},
		{"prefix with dots", `{"prefix": "/api/../v0"}`, `{"prefix": "/api.v0"}`, "prefix: "},
		{"encoded prefix", `{"prefix": "/api%2fv0"}`, `{"prefix": "/api/v0"}`, "prefix: "},
		{"prefix with a query", `{"prefix": "/api?a"}`, `{"prefix": "/api-a"}`, "prefix: "},
		{"matcher", `{"prefix": "@api"}`, `{"prefix": "/@api"}`, "prefix: @api is a matcher"},
		{"environment", `{"environments": ["a b"]}`, `{"environments": ["a", "b"]}`, "environments: "},
		{"environment twice", `{"environments": ["a", "a"]}`, `{"environments": ["a"]}`, `environments: "a" stands twice`},
		{"OAuth client", `{"oauth_clients": [{"id": "a", "secret": "hunter2"}]}`, `{"oauth_clients": []}`, "oauth_clients: not available in this version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := new(API), new(API)
			decode(t, bad, c.bad)
			wantError(t, bad.validate(), c.want)
			decode(t, good, c.good)
			if err := good.validate(); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

// A feature that this version lacks is refused in the Caddyfile and in JSON through one table.
func TestEveryMissingFeatureIsRefused(t *testing.T) {
	lines := map[string]string{
		"exchange dynamic": "exchange dynamic", "exchange oauth": "exchange oauth https://idp.example.com/token", "store redis": "store redis localhost:6379",
	}
	handlers := map[string]caddyfile.Unmarshaler{"oauth_client": new(API)}
	blocks := map[string]string{"oauth_client": "byoa_api {\n oauth_client a b\n}"}
	for feature := range notYet {
		var err error
		switch {
		case lines[feature] != "":
			_, err = parseApp(caddyfile.NewTestDispenser("byoa {\n environment {\n  "+lines[feature]+"\n }\n}"), nil)
		case handlers[feature] != nil:
			err = handlers[feature].UnmarshalCaddyfile(caddyfile.NewTestDispenser(blocks[feature]))
		default:
			t.Errorf("nothing in this test asks for %s", feature)
			continue
		}
		wantError(t, err, errNotYet.Error(), feature)
	}
}

func TestWildcardNamesThatCaddyRewrote(t *testing.T) {
	for written, want := range map[string]string{
		"/a/{id}":                                                "/a/{id}",
		"/a/{http.request.uri.path.file}/b":                      "/a/{file}/b",
		"/{http.request.host}/{http.vars.client_ip}":             "/{host}/{client_ip}",
		"/{http.request.remote.host}/{http.request.tls.version}": "/{remote_host}/{tls_version}",
		"/{http.request.orig_uri.path}/{http.request.orig_uri.path.dir}/{http.request.orig_uri.query}": "/{orig_path}/{orig_dir}/{orig_query}",
		"/{http.request.tls.cipher_suite}/{http.request.orig_uri.path.file}":                           "/{tls_cipher}/{orig_file}",
		"/a/{path...}":               "/a/{path...}",
		"/a/{http.regexp...}":        "/a/{re...}",
		"/a/{$}":                     "/a/{$}",
		"/a/{http.request.uuid}/{$}": "/a/{uuid}/{$}",
		"/a.b/c":                     "/a.b/c",
	} {
		if got := plainPattern(written); got != want {
			t.Errorf("%s became %s, want %s", written, got, want)
		}
		if err := checkPattern(plainPattern(written)); err != nil {
			t.Errorf("%s is refused: %v", written, err)
		}
	}
}
