package caddymodule

import "testing"

// Each of these documents would start with a door open, or with another one than was meant.
func TestDocumentMistakes(t *testing.T) {
	for _, c := range []struct{ name, bad, good, want string }{
		{"alternatives", `{paths: {/a: {get: {security: [{oauth: [a]}, {oidc: [b]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: [a], oidc: [b]}]}}}}`, "GET /a: security: has 2 alternatives"},
		{"alternatives of the document", `{security: [{oauth: [a]}, {oidc: [b]}], paths: {/a: {get: {}}}}`, `{security: [{oauth: [a]}], paths: {/a: {get: {}}}}`, "GET /a: security: has 2 alternatives"},
		{"alternatives that are the same", `{paths: {/a: {get: {security: [{oauth: []}, {key: []}]}}}}`, `{paths: {/a: {get: {security: [{oauth: []}]}}}}`, "GET /a: security: has 2 alternatives"},
		{"optional", `{paths: {/a: {get: {security: [{oauth: [a]}, {}]}}}}`, `{paths: {/a: {get: {security: [{}]}}}}`, "GET /a: security: is optional"},
		{"optional, the other way round", `{paths: {/a: {get: {security: [{}, {oauth: [a]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: [a]}]}}}}`, "GET /a: security: is optional"},
		{"unknown scheme", `{paths: {/a: {get: {security: [{Oauth: [a]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: [a]}]}}}}`, `GET /a: security: the scheme "Oauth" is not in`},
		{"two scopes in one", `{paths: {/a: {get: {security: [{oauth: ["a b"]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: [a, b]}]}}}}`, `GET /a: security: oauth: malformed scope "a b"`},
		{"an empty scope", `{paths: {/a: {get: {security: [{oauth: [""]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: []}]}}}}`, "GET /a: security: oauth: malformed scope"},
		{"security is null", `{paths: {/a: {get: {security: }}}}`, `{paths: {/a: {get: {security: []}}}}`, "paths: /a: get: security: is null"},
		{"security is null beside what is merged", `{x-a: &a {security: [{oauth: [a]}]}, paths: {/a: {get: {<<: *a, security: }}}}`, `{x-a: &a {security: [{oauth: [a]}]}, paths: {/a: {get: {<<: *a}}}}`, "paths: /a: get: security: is null"},
		{"security is null where it is merged from", `{x-a: &a {security: }, paths: {/a: {get: {<<: *a}}}}`, `{x-a: &a {security: []}, paths: {/a: {get: {<<: *a}}}}`, "paths: /a: get: security: is null"},
		{"security of the document is null", `{security: null, paths: {/a: {get: {}}}}`, `{security: [], paths: {/a: {get: {}}}}`, "security: is null"},
		{"a requirement is null", `{paths: {/a: {get: {security: [null]}}}}`, `{paths: {/a: {get: {security: [{}]}}}}`, "GET /a: security: holds null"},
		{"the scopes are null", `{paths: {/a: {get: {security: [{oauth: }]}}}}`, `{paths: {/a: {get: {security: [{oauth: []}]}}}}`, "GET /a: security: oauth: is null"},
		{"one scope, not a list", `{paths: {/a: {get: {security: [{oauth: a}]}}}}`, `{paths: {/a: {get: {security: [{oauth: [a]}]}}}}`, "paths: /a: get: security: oauth: is no list of scopes"},
		{"a number for a scope", `{paths: {/a: {get: {security: [{oauth: [1]}]}}}}`, `{paths: {/a: {get: {security: [{oauth: ["1"]}]}}}}`, "paths: /a: get: security: oauth: holds something else than a string"},
		{"one requirement, not a list", `{paths: {/a: {get: {security: {oauth: [a]}}}}}`, `{paths: {/a: {get: {security: [{oauth: [a]}]}}}}`, "paths: /a: get: security: is no list"},
		{"misspelled security", `{paths: {/a: {get: {Security: [{oauth: [a]}]}}}}`, `{paths: {/a: {get: {x-security: [{oauth: [a]}]}}}}`, `paths: /a: get: unknown field "Security"`},
		{"misspelled security of the document", `{securty: [{oauth: [a]}], paths: {/a: {get: {}}}}`, `{security: [{oauth: [a]}], paths: {/a: {get: {}}}}`, `unknown field "securty"`},
		{"a method in upper case", `{paths: {/a: {GET: {security: [{oauth: [a]}]}, put: {}}}}`, `{paths: {/a: {get: {security: [{oauth: [a]}]}, put: {}}}}`, `paths: /a: unknown field "GET"`},
		{"an operation that is null", `{paths: {/a: {get: , put: {}}}}`, `{paths: {/a: {get: {}, put: {}}}}`, "paths: /a: get: is null"},
		{"an operation that is a list", `{paths: {/a: {get: [], put: {}}}}`, `{paths: {/a: {get: {}, put: {}}}}`, "paths: /a: get: is no object"},
		{"a path that is null", `{paths: {/a: , /b: {get: {}}}}`, `{paths: {/a: {}, /b: {get: {}}}}`, "paths: /a: is no object"},
		{"a custom method in lower case", `{paths: {/a: {additionalOperations: {copy: {}}}}}`, `{paths: {/a: {additionalOperations: {COPY: {}}}}}`, `"copy" is no method`},
		{"a standard method among the custom ones", `{paths: {/a: {get: {security: [{oauth: [a]}]}, additionalOperations: {get: {}}}}}`, `{paths: {/a: {get: {security: [{oauth: [a]}]}}}}`, "additionalOperations: get has a field of its own"},
		{"a custom operation that is null", `{paths: {/a: {get: {}, additionalOperations: {COPY: null}}}}`, `{paths: {/a: {get: {}, additionalOperations: {COPY: {}}}}}`, "COPY: is no object"},
		{"custom operations in a list", `{paths: {/a: {get: {}, additionalOperations: [COPY]}}}`, `{paths: {/a: {get: {}, additionalOperations: {}}}}`, "paths: /a: additionalOperations: is no object"},
		{"a path twice", "paths:\n  /a: {get: {security: [{oauth: [a]}]}}\n  /a: {get: {}}", "paths:\n  /a: {get: {security: [{oauth: [a]}]}}\n  /b: {get: {}}", `line 4: "/a" stands twice`},
		{"an operation twice", "paths:\n  /a:\n    get: {security: [{oauth: [a]}]}\n    get: {}", "paths:\n  /a:\n    get: {security: [{oauth: [a]}]}\n    put: {}", `line 5: "get" stands twice`},

		{"a parameter with something behind it", `{paths: {"/files/{name}.json": {get: {}}}}`, `{paths: {"/files/{name}": {get: {}}}}`, `GET /files/{name}.json: pattern "/files/{name}.json": "{name}.json" is no wildcard`},
		{"two parameters in a segment", `{paths: {"/{a}-{b}": {get: {}}}}`, `{paths: {"/{a}/{b}": {get: {}}}}`, "is no wildcard"},
		{"a parameter that would be the rest of the path", `{paths: {"/a/{b...}": {get: {}}}}`, `{paths: {"/a/{b}": {get: {}}}}`, "GET /a/{b...}: the last parameter has a name"},
		{"a parameter that would be the end of the path", `{paths: {"/a/{$}": {get: {}}}}`, `{paths: {"/a/{S}": {get: {}}}}`, "GET /a/{$}: the last parameter has a name"},
		{"a star", `{paths: {"/a/*": {get: {}}}}`, `{paths: {"/a/{b}": {get: {}}}}`, "* is no wildcard"},
		{"a query", `{paths: {"/a?b=c": {get: {}}}}`, `{paths: {/a: {get: {}}}}`, "is a path, without query"},
		{"a fragment", `{paths: {"/a#b": {get: {}}}}`, `{paths: {/a: {get: {}}}}`, "is a path, without query"},
		{"an empty segment", `{paths: {/a//b: {get: {}}}}`, `{paths: {/a/b: {get: {}}}}`, "has an empty segment"},
		{"a relative path", `{paths: {a: {get: {}}}}`, `{paths: {/a: {get: {}}}}`, "GET a: the path does not begin with /"},

		{"a relative server", `{servers: [{url: v1}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v1}], paths: {/a: {get: {}}}}`, `GET /a: servers: "v1" is relative`},
		{"an empty server", `{servers: [{url: ""}], paths: {/a: {get: {}}}}`, `{servers: [{url: /}], paths: {/a: {get: {}}}}`, `servers: "" is relative`},
		{"a host without slashes", `{servers: [{url: "api.example.com:443"}], paths: {/a: {get: {}}}}`, `{servers: [{url: "//api.example.com:443"}], paths: {/a: {get: {}}}}`, "is relative"},
		{"a server above the root", `{servers: [{url: /../v1}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v1}], paths: {/a: {get: {}}}}`, "has a dot segment"},
		{"a server with empty segments", `{servers: [{url: /v1//}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v1/}], paths: {/a: {get: {}}}}`, "has an empty segment"},
		{"a server with a query", `{servers: [{url: "/v1?a"}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v1}], paths: {/a: {get: {}}}}`, "has a query"},
		{"a variable without a default", `{servers: [{url: "/{v}"}], paths: {/a: {get: {}}}}`, `{servers: [{url: "/{v}", variables: {v: {default: v1}}}], paths: {/a: {get: {}}}}`, "the variable {v} of"},
		{"an unknown variable", `{servers: [{url: "/{V}", variables: {v: {default: v1}}}], paths: {/a: {get: {}}}}`, `{servers: [{url: "/{v}", variables: {v: {default: v1}}}], paths: {/a: {get: {}}}}`, "the variable {V} of"},
		{"half a variable", `{servers: [{url: "/{v"}], paths: {/a: {get: {}}}}`, `{servers: [{url: /v}], paths: {/a: {get: {}}}}`, "brace without its other half"},
		{"a server that is null", `{servers: [null], paths: {/a: {get: {}}}}`, `{servers: [], paths: {/a: {get: {}}}}`, "servers: is null"},
		{"one server, not a list", `{servers: {url: /v1}, paths: {/a: {get: {}}}}`, `{servers: [{url: /v1}], paths: {/a: {get: {}}}}`, "servers: is no list"},

		{"another file", `{paths: {/a: {$ref: "./a.yaml"}}}`, `{paths: {/a: {get: {}}}}`, "paths: /a: $ref: leads to another file"},
		{"the network", `{paths: {/a: {$ref: "http://127.0.0.1:1/a#/a"}}}`, `{paths: {/a: {get: {}}}}`, "paths: /a: $ref: leads to another file"},
		{"a reference beside an operation", `{paths: {/a: {get: {}}, /b: {$ref: "#/paths/~1a", put: {}}}}`, `{paths: {/a: {get: {}}, /b: {$ref: "#/paths/~1a"}}}`, "paths: /b: $ref: stands beside operations"},
		{"a reference to itself", `{paths: {/a: {$ref: "#/paths/~1a"}}}`, `{paths: {/a: {get: {}}}}`, "paths: /a: $ref: leads to no operation"},
		{"references in a circle", `{paths: {/a: {$ref: "#/paths/~1b"}, /b: {$ref: "#/paths/~1a"}}}`, `{paths: {/a: {$ref: "#/paths/~1b"}, /b: {get: {}}}}`, "paths: /a: $ref: leads to no operation"},
		{"a reference to an unread place", `{x-a: {get: {security: null}}, paths: {/a: {$ref: "#/x-a"}}}`, `{paths: {/a: {get: {}}}}`, "paths: /a: $ref: leads to something else"},
		{"a reference to nothing", `{paths: {/a: {$ref: "#/paths/~1b"}}}`, `{paths: {/a: {$ref: "#/paths/~1b"}, /b: {get: {}}}}`, "resolving its references"},
		{"a reference that is null", `{paths: {/a: {$ref: , get: {}}}}`, `{paths: {/a: {get: {}}}}`, "paths: /a: $ref: is null"},

		{"no operations", `{paths: {/a: {}}}`, `{paths: {/a: {get: {}}}}`, "has no operations"},
		{"no paths", `{webhooks: {}}`, `{paths: {/a: {get: {}}}}`, "paths: missing"},
		{"paths are null", `{paths: }`, `{paths: {/a: {get: {}}}}`, "paths: is null"},
		{"paths are a list", `{paths: [{/a: {get: {}}}]}`, `{paths: {/a: {get: {}}}}`, "paths: missing, or no object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := documentRoutes(document(c.bad))
			wantError(t, err, c.want)
			if _, err := documentRoutes(document(c.good)); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

func TestMistakesInTheComponents(t *testing.T) {
	const rest = `, "paths": {"/a": {"get": {"security": [{"oauth": ["a"]}]}}}}`
	for _, c := range []struct{ name, bad, good, want string }{
		{"no components", `"x-none": 1`, `"components": {"securitySchemes": {"oauth": {}}}`, `the scheme "oauth" is not in`},
		{"components are a list", `"components": []`, `"components": {"securitySchemes": {"oauth": {}}}`, "components: is no object"},
		{"a scheme that is null", `"components": {"securitySchemes": {"oauth": null}}`, `"components": {"securitySchemes": {"oauth": {}}}`, "components: securitySchemes: oauth: is no object"},
		{"a path item that is null", `"components": {"securitySchemes": {"oauth": {}}, "pathItems": {"x-p": null}}`, `"components": {"securitySchemes": {"oauth": {}}, "pathItems": {"x-p": {}}}`, "components: pathItems: x-p: is no object"},
		{"security that is null", `"components": {"securitySchemes": {"oauth": {}}, "pathItems": {"x-p": {"get": {"security": null}}}}`, `"components": {"securitySchemes": {"oauth": {}}, "pathItems": {"x-p": {"get": {"security": []}}}}`, "components: pathItems: x-p: get: security: is null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := documentRoutes([]byte(`{"openapi": "3.1.0", ` + c.bad + rest))
			wantError(t, err, c.want)
			if _, err := documentRoutes([]byte(`{"openapi": "3.1.0", ` + c.good + rest)); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

// A path item whose reference leads to another reference: the library leaves it empty without a word.
func TestReferenceToAReferenceIsAnError(t *testing.T) {
	const rest = `, "paths": {"/a": {"$ref": "#/components/pathItems/one"}}}`
	items := func(one string) []byte {
		return []byte(`{"openapi": "3.1.0", "components": {"pathItems": {"one": ` + one + `, "two": {"get": {}}}}` + rest)
	}
	_, err := documentRoutes(items(`{"$ref": "#/components/pathItems/two"}`))
	wantError(t, err, "paths: /a: $ref: leads to no operation")
	if _, err := documentRoutes(items(`{"get": {}}`)); err != nil {
		t.Errorf("the control is refused: %v", err)
	}
}
