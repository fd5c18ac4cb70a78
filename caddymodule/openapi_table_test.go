package caddymodule

import (
	"cmp"
	"strings"
	"testing"
)

// A line of the document and a written one that are the same: nobody could tell which was meant.
func TestTableThatHasALineTwice(t *testing.T) {
	documented, err := documentRoutes(document(`{servers: [{url: /v1}], paths: {"/a/{id}": {post: {security: [{oauth: [a]}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	documented[0].from = "api.yaml"
	for _, c := range []struct{ name, bad, good string }{
		{"the same line", "POST /v1/a/{id} -", "GET /v1/a/{id} -"},
		{"that needs the same", "POST /v1/a/{id} a", "PUT /v1/a/{id} a"},
		{"under another name", "POST /V1/a/{x} deny", "POST /v1/a/b deny"},
		{"neither more specific", "/v1/{x}/b -", "/v1/ -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := StepUp{Routes: stepUpRoutes(t, c.bad)}
			_, err := s.compileTable(documented)
			wantError(t, err, `"POST /v1/a/{id}" of api.yaml`, `"`+strings.Join(strings.Fields(c.bad)[:strings.Count(c.bad, " ")], " ")+`"`, "conflict")
			s.Routes = stepUpRoutes(t, c.good)
			if _, err := s.compileTable(documented); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}

// stepUpRoutes are lines of a table in the form of the config.
func stepUpRoutes(t *testing.T, lines string) []StepUpRoute {
	t.Helper()
	var routes []StepUpRoute
	for _, r := range parseRoutes(t, lines) {
		need := StepUpRoute{Method: r.method, Pattern: r.pattern, Deny: r.need.deny, Session: !r.need.deny && r.need.scopes.Empty()}
		if !need.Deny && !need.Session {
			need.Scopes = r.need.scopes.Names()
		}
		routes = append(routes, need)
	}
	return routes
}

func TestPathsOfADocumentThatAreOneToTheTable(t *testing.T) {
	for _, c := range []struct{ name, bad, good string }{
		{"letter case", `{paths: {/a: {get: {}}, /A: {get: {}}}}`, `{paths: {/a: {get: {}}, /A: {put: {}}}}`},
		{"a slash at the end", `{paths: {/a: {get: {}}, /a/: {get: {}}}}`, `{paths: {/a: {get: {}}, /a/b: {get: {}}}}`},
		{"names of parameters", `{paths: {"/{a}": {get: {}}, "/{b}": {get: {}}}}`, `{paths: {"/{a}": {get: {}}, "/{b}": {put: {}}}}`},
		{"neither more specific", `{paths: {"/{a}/b": {get: {}}, "/a/{b}": {get: {}}}}`, `{paths: {"/{a}/{b}": {get: {}}, "/a/{b}": {get: {}}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for body, want := range map[string]string{c.bad: "conflict", c.good: ""} {
				routes, err := documentRoutes(document(body))
				if err != nil {
					t.Fatal(err)
				}
				_, err = new(StepUp).compileTable(routes)
				if want != "" {
					wantError(t, err, want)
				} else if err != nil {
					t.Errorf("the control is refused: %v", err)
				}
			}
		})
	}
}

// Whatever a document holds, it is refused, or none of its operations is left to the default.
func FuzzOpenAPIDocument(f *testing.F) {
	for _, body := range []string{
		`{paths: {"/a/{id}": {get: {security: [{oauth: [a, b]}]}}}}`,
		`{servers: [{url: "https://{h}/v1/", variables: {h: {default: x}}}], security: [{key: []}], paths: {/: {post: {}, head: {security: []}}}}`,
		`{paths: {/a: {$ref: "#/paths/~1b"}, /b: {additionalOperations: {COPY: {}}, servers: [{url: /c%2F}]}}}`,
		`{x-a: &a {get: {}}, paths: {/a: {<<: *a}, /é/: *a}}`,
	} {
		f.Add(document(body))
	}
	f.Add([]byte(`{"openapi": "3.0.3", "paths": {"/a": {"get": {"security": [{"s": ["a"]}]}}}, "components": {"securitySchemes": {"s": {"$ref": "#/components/securitySchemes/s"}}}}`))
	f.Add([]byte(laughs(4)))
	f.Add([]byte(nestedAliases(3, 10)))
	f.Fuzz(func(t *testing.T, data []byte) {
		routes, err := documentRoutes(data)
		if err != nil {
			return
		}
		table, err := newRouteTable(routes, rule{deny: true})
		if err != nil {
			return
		}
		for _, r := range routes {
			path := cmp.Or(strings.TrimSuffix(r.pattern, "{$}"), "/")
			if need := table.lookup(r.method, strings.NewReplacer("{", "", "}", "").Replace(path)); need.deny {
				t.Errorf("%s is left to the default", r)
			}
		}
	})
}
