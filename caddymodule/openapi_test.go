package caddymodule

import (
	"fmt"
	"strings"
	"testing"
)

// schemes are the components of most documents here: one security scheme of each type.
const schemes = `components: {securitySchemes: {
	oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://auth.example.com/token", scopes: {a: "", b: ""}}}},
	oidc: {type: openIdConnect, openIdConnectUrl: "https://auth.example.com/.well-known/openid-configuration"},
	bearer: {type: http, scheme: bearer}, key: {type: apiKey, in: header, name: X-Key}, mtls: {type: mutualTLS}}}`

// document is one of OpenAPI around a body in the flow style or the block style of YAML.
func document(body string) []byte {
	if flow, is := strings.CutPrefix(body, "{"); is {
		return []byte("--- {openapi: 3.1.0, " + schemes + ", " + flow)
	}
	return []byte("openapi: 3.1.0\n" + body + "\n" + schemes)
}

// linesOf writes routes as the Caddyfile would have them.
func linesOf(routes []route) string {
	var lines []string
	for _, r := range routes {
		lines = append(lines, r.String()+" "+r.need.String())
	}
	return strings.Join(lines, "\n")
}

type documentCase struct{ name, body, want string }

func (c documentCase) run(t *testing.T) {
	routes, err := documentRoutes(document(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if got := linesOf(routes); got != c.want {
		t.Errorf("got\n%s\nwant\n%s", got, c.want)
	}
}

func TestOperationNeedsWhatItsSecurityNames(t *testing.T) {
	for _, c := range []documentCase{
		{"scopes of its own", `{paths: {/a: {get: {security: [{oauth: [a, b]}]}}}}`, "GET /a a b"},
		{"a scope that YAML would read as a date", `{paths: {/a: {get: {security: [{oauth: [2020-01-01]}]}}}}`, "GET /a 2020-01-01"},
		{"those of the document", `{security: [{oauth: [a]}], paths: {/a: {get: {}}}}`, "GET /a a"},
		{"its own instead of the document's", `{security: [{oauth: [a]}], paths: {/a: {get: {security: [{oauth: [b]}]}}}}`, "GET /a b"},
		{"none instead of the document's", `{security: [{oauth: [a]}], paths: {/a: {get: {security: []}}}}`, "GET /a -"},
		{"the document asks for nothing", `{security: [], paths: {/a: {get: {}}}}`, "GET /a -"},
		{"nobody asks for anything", `{paths: {/a: {get: {}}}}`, "GET /a -"},
		{"anonymous, and nothing else", `{security: [{oauth: [a]}], paths: {/a: {get: {security: [{}]}}}}`, "GET /a -"},
		{"a scheme without scopes", `{paths: {/a: {get: {security: [{oauth: []}]}}}}`, "GET /a -"},
		{"several schemes together", `{paths: {/a: {get: {security: [{oauth: [a], oidc: [b], key: []}]}}}}`, "GET /a a b"},
		{"one scope by two schemes", `{paths: {/a: {get: {security: [{oauth: [a], oidc: [a]}]}}}}`, "GET /a a"},
		{"openIdConnect", `{paths: {/a: {get: {security: [{oidc: [a]}]}}}}`, "GET /a a"},
		{"schemes that have no scopes", `{paths: {/a: {get: {security: [{bearer: [], key: [], mtls: []}]}}}}`, "GET /a -"},
		{"roles of a scheme that has no scopes", `{paths: {/a: {get: {security: [{bearer: [admin]}]}}}}`, "GET /a admin"},
		{"its own instead of what it merges", `{x-a: &a {security: [{oauth: [a]}]}, paths: {/a: {get: {security: [{oauth: [b]}], <<: *a}}}}`, "GET /a b"},
		{"the first of what it merges", `{x-a: &a {security: [{oauth: [a]}]}, x-b: &b {security: []}, paths: {/a: {get: {<<: [*a, *b]}}}}`, "GET /a a"},
		{"alternatives that no operation has", `{security: [{oauth: [a]}, {key: []}], paths: {/a: {get: {security: [{oauth: [b]}]}}}}`, "GET /a b"},
	} {
		t.Run(c.name, c.run)
	}
}

func TestOperationIsWhereItsServerIs(t *testing.T) {
	const operation = `, paths: {/a: {get: {}}}}`
	for _, c := range []documentCase{
		{"no servers", `{servers: []` + operation, "GET /a -"},
		{"a server without a path", `{servers: [{url: "https://api.example.com"}]` + operation, "GET /a -"},
		{"the root", `{servers: [{url: "https://api.example.com/"}]` + operation, "GET /a -"},
		{"a path", `{servers: [{url: "https://api.example.com/v1"}]` + operation, "GET /v1/a -"},
		{"a slash at its end", `{servers: [{url: "https://api.example.com/v1/"}]` + operation, "GET /v1/a -"},
		{"only a path", `{servers: [{url: /v1/x}]` + operation, "GET /v1/x/a -"},
		{"no scheme", `{servers: [{url: "//api.example.com/v1"}]` + operation, "GET /v1/a -"},
		{"encoded", `{servers: [{url: "/v%31/x%2Fy"}]` + operation, "GET /v%31/x%2Fy/a -"},
		{"the first of several", `{servers: [{url: /v1}, {url: /v2}]` + operation, "GET /v1/a -"},
		{"variables", `{servers: [{url: "https://{host}/{base}/x", variables: {host: {default: h}, base: {default: v1/y}}}]` + operation, "GET /v1/y/x/a -"},
		{"of the path", `{servers: [{url: /v1}], paths: {/a: {servers: [{url: /v2}], get: {}}, /b: {get: {}}}}`, "GET /v2/a -\nGET /v1/b -"},
		{"of the operation", `{paths: {/a: {servers: [{url: /v2}], get: {servers: [{url: /v3}]}, put: {servers: []}}}}`, "GET /v3/a -\nPUT /v2/a -"},
	} {
		t.Run(c.name, c.run)
	}
}

func TestPathsAndMethods(t *testing.T) {
	for _, c := range []documentCase{
		{"a parameter is a segment", `{paths: {"/a/{id}/b/{other-id}": {get: {}}}}`, "GET /a/{id}/b/{other-id} -"},
		{"a slash at the end is no subtree", `{paths: {/a/: {get: {}}}}`, "GET /a/{$} -"},
		{"the root is no subtree", `{paths: {/: {get: {}}}}`, "GET /{$} -"},
		{"nor is the root of a base", `{servers: [{url: /v1}], paths: {/: {get: {}}}}`, "GET /v1/{$} -"},
		{"extensions are no paths", `{paths: {x-a: {get: {}}, /a: {get: {}, x-b: null}}}`, "GET /a -"},
		{"a path without operations", `{paths: {/a: {summary: s}, /b: {get: {}}}}`, "GET /b -"},
		{
			"every method", `{paths: {/a: {get: {}, put: {}, post: {}, delete: {}, options: {}, head: {}, patch: {}, trace: {}, query: {}, additionalOperations: {COPY: {}}}}}`,
			"COPY /a -\nDELETE /a -\nGET /a -\nHEAD /a -\nOPTIONS /a -\nPATCH /a -\nPOST /a -\nPUT /a -\nQUERY /a -\nTRACE /a -",
		},
		{"a path by reference to another", `{paths: {/a: {get: {security: [{oauth: [a]}]}}, /b: {$ref: "#/paths/~1a"}}}`, "GET /a a\nGET /b a"},
		{
			"what has no say may be wrong, or elsewhere",
			`{info: 3, tags: no, webhooks: {w: {post: {security: null}}}, paths: {/a: {parameters: [{$ref: "p.yaml"}], get: {responses: {200: {$ref: "http://127.0.0.1:1/r"}}, callbacks: {c: {u: {post: {security: null}}}}}}}}`,
			"GET /a -",
		},
	} {
		t.Run(c.name, c.run)
	}
}

func TestPathItemOfTheComponents(t *testing.T) {
	routes, err := documentRoutes([]byte(`{
		"openapi": "3.1.0",
		"components": {
			"schemas": {"loop": {"$ref": "#/components/schemas/loop"}, "tree": {"properties": {"child": {"$ref": "#/components/schemas/tree"}}}},
			"pathItems": {"item": {"get": {"security": [{"oauth": ["a"]}]}, "parameters": [{"$ref": "#/nowhere"}]}},
			"securitySchemes": {"oauth": {"$ref": "#/components/securitySchemes/other"}, "other": {"type": "oauth2"}}
		},
		"paths": {"/a": {"$ref": "#/components/pathItems/item", "summary": "as it was meant"}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := linesOf(routes), "GET /a a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVersionsOfOpenAPI(t *testing.T) {
	const rest = `, "servers": [{"url": "/v1"}], "paths": {"/a": {"get": {"security": [{"oauth": ["a"]}]}}}, "components": {"securitySchemes": {"oauth": {"type": "oauth2"}}}}`
	for given, want := range map[string]string{
		`"openapi": "3.0.0"`: "", `"openapi": "3.0.4"`: "", `"openapi": "3.1.0"`: "", `"openapi": "3.1.2"`: "", `"openapi": "3.2.0"`: "", `"openapi": "3.0.99"`: "",
		`"openapi": "2.0"`: "unknown version", `"openapi": "3.3.0"`: "unknown version", `"openapi": "4.0.0"`: "unknown version", `"openapi": "3.0"`: "unknown version",
		`"openapi": "3.1.0-rc1"`: "unknown version", `"openapi": ""`: "unknown version", `"openapi": null`: "must be a string",
		`"openapi": 3.1`: "must be a string", `"swagger": "2.0"`: "is Swagger 2.0", `"asyncapi": "3.0.0"`: "the field openapi is missing",
	} {
		routes, err := documentRoutes([]byte("{" + given + rest))
		switch {
		case want != "":
			wantError(t, err, want)
		case err != nil:
			t.Errorf("%s: %v", given, err)
		case linesOf(routes) != "GET /v1/a a":
			t.Errorf("%s: got %q", given, linesOf(routes))
		}
	}
}

func TestDocumentWithTooManyOperations(t *testing.T) {
	var paths strings.Builder
	for i := range maxOperations {
		fmt.Fprintf(&paths, `"/%d": {"get": {}}, `, i)
	}
	of := func(last string) []byte {
		return []byte(`{"openapi": "3.1.0", "paths": {` + paths.String() + `"/last": ` + last + `}}`)
	}
	if _, err := documentRoutes(of(`{}`)); err != nil {
		t.Errorf("the control is refused: %v", err)
	}
	_, err := documentRoutes(of(`{"get": {}}`))
	wantError(t, err, "has 5001 operations, more than 5000")
}
