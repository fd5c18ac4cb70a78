package caddymodule

import (
	"strings"
	"testing"
)

// An error says where in the document it is, in the words of OpenAPI and not in those of Go.
func TestWrongTypesAreNamedWhereTheyAre(t *testing.T) {
	for _, c := range []struct{ name, bad, good, want string }{
		{"the port of a server as a number", `{servers: [{url: "https://h:{port}/v1", variables: {port: {default: 443}}}], paths: {/a: {get: {}}}}`, `{servers: [{url: "https://h:{port}/v1", variables: {port: {default: "443"}}}], paths: {/a: {get: {}}}}`, "servers: variables: port: default: is no string"},
		{"a variable that is a string", `{servers: [{url: "/{v}", variables: {v: v1}}], paths: {/a: {get: {}}}}`, `{servers: [{url: "/{v}", variables: {v: {default: v1}}}], paths: {/a: {get: {}}}}`, "servers: variables: v: is no object"},
		{"variables in a list", `{servers: [{url: /v1, variables: []}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v1, variables: {}}], paths: {/a: {get: {}}}}`, "servers: variables: is no object"},
		{"a server that is a string", `{paths: {/a: {get: {servers: [/v1]}}}}`, `{paths: {/a: {get: {servers: [{url: /v1}]}}}}`, "paths: /a: get: servers: is no object"},
		{"a URL that is a list", `{paths: {/a: {servers: [{url: [/v1]}], get: {}}}}`, `{paths: {/a: {servers: [{url: /v1}], get: {}}}}`, "paths: /a: servers: url: is no string"},
		{"a URL in upper case", `{servers: [{url: /v1, URL: /v2}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v1, x-URL: /v2}], paths: {/a: {get: {}}}}`, `servers: unknown field "URL"`},
		{"a default in upper case", `{servers: [{url: "/{v}", variables: {v: {default: v1, Default: v2}}}], paths: {/a: {get: {}}}}`, `{servers: [{url: "/{v}", variables: {v: {default: v1, enum: [v1, 2]}}}], paths: {/a: {get: {}}}}`, `servers: variables: v: unknown field "Default"`},
		{"security that is false", `{paths: {/a: {get: {security: false}}}}`, `{paths: {/a: {get: {security: []}}}}`, "paths: /a: get: security: is no list"},
		{"security of the document that is an object", `{security: {oauth: [a]}, paths: {/a: {get: {}}}}`, `{security: [{oauth: [a]}], paths: {/a: {get: {}}}}`, "security: is no list"},
		{"a requirement that is a string", `{paths: {/a: {get: {security: [oauth]}}}}`, `{paths: {/a: {get: {security: [{oauth: []}]}}}}`, "paths: /a: get: security: holds something else than an object"},
		{"a scope that is null", `{paths: {/a: {get: {security: [{oauth: [null]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: ["null"]}]}}}}`, "paths: /a: get: security: oauth: holds something else than a string"},
		{"additional operations that are a string", `{paths: {/a: {get: {}, additionalOperations: x}}}`, `{paths: {/a: {get: {}, additionalOperations: {}}}}`, "paths: /a: additionalOperations: is no object"},
		{"CONNECT among the additional operations", `{paths: {/a: {additionalOperations: {CONNECT: {}}}}}`, `{paths: {/a: {connect: {}}}}`, "additionalOperations: CONNECT has a field of its own in the path item: connect"},
		{"an empty reference", `{paths: {/a: {$ref: ""}, /b: {get: {}}}}`, `{paths: {/a: {$ref: "#/paths/~1b"}, /b: {get: {}}}}`, "paths: /a: $ref: is empty"},
		{"a reference that is a list", `{paths: {/a: {$ref: [a]}, /b: {get: {}}}}`, `{paths: {/a: {$ref: "#/paths/~1b"}, /b: {get: {}}}}`, "paths: /a: $ref: is no string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := documentRoutes(document(c.bad))
			wantError(t, err, c.want)
			if err != nil && (strings.Contains(err.Error(), "openapi3.") || strings.Contains(err.Error(), "json:")) {
				t.Errorf("the error speaks of Go: %v", err)
			}
			if _, err := documentRoutes(document(c.good)); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

// What frameworks write for the rest of a path is one segment in a table, and the rest would be
// left to the default.
func TestParametersOfOtherFormsAreRefused(t *testing.T) {
	for _, path := range []string{
		"/files/{proxy+}", "/files/{path:path}", "/files/{path*}", "/files/{*path}", "/users/{id:[0-9]+}", "/users/:id", "/:tenant/users",
	} {
		_, err := documentRoutes(document(`{paths: {"` + path + `": {get: {}}}}`))
		wantError(t, err, "GET "+path+":", "parameter")
	}
	for _, path := range []string{"/files/{proxy}", "/users/a:id", "/a+b/{c}"} {
		if _, err := documentRoutes(document(`{paths: {"` + path + `": {get: {}}}}`)); err != nil {
			t.Errorf("the control %s is refused: %v", path, err)
		}
	}
}

// Of a security scheme nothing but its name has a say.
func TestDetailsOfASchemeBlockNothing(t *testing.T) {
	for _, scheme := range []string{
		`{"type": "oauth2", "flows": {"password": {"tokenUrl": 3}}}`, `{"type": []}`, `{"$ref": "schemes.yaml#/oauth"}`, `{"$ref": "#/nowhere"}`,
	} {
		routes, err := documentRoutes([]byte(`{"openapi": "3.1.0", "components": {"securitySchemes": {"oauth": ` + scheme + `}}, "paths": {"/a": {"get": {"security": [{"oauth": ["a"]}]}}}}`))
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		if got, want := linesOf(routes), "GET /a a"; got != want {
			t.Errorf("%s: got %q, want %q", scheme, got, want)
		}
	}
	_, err := documentRoutes([]byte(`{"openapi": "3.1.0", "components": {"securitySchemes": []}, "paths": {"/a": {"get": {}}}}`))
	wantError(t, err, "components: securitySchemes: is no object")
}
