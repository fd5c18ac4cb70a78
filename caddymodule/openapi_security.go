package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// operationNeed is what the security of an operation asks for: its own, or else that of the
// document. A table stands behind a byoa handler, so whatever asks for nothing, "security: []"
// too, still asks for a session.
func operationNeed(doc *openapi3.T, operation *openapi3.Operation) (rule, error) {
	requirements := doc.Security
	if operation.Security != nil {
		requirements = *operation.Security
	}
	switch len(requirements) {
	case 0:
		return rule{}, nil
	case 1:
		return requirementNeed(doc, requirements[0])
	}
	if slices.ContainsFunc(requirements, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 }) {
		return rule{}, errors.New("is optional, because one of several alternatives is {}; a table cannot say that, so leave one")
	}
	return rule{}, fmt.Errorf("has %d alternatives; a table cannot say that, so leave one", len(requirements))
}

// requirementNeed is the union of what the schemes of a requirement name. In OpenAPI these are scopes for
// oauth2 and openIdConnect, and roles for every other type (since 3.1), which nobody else checks here: whatever
// is named is asked for.
func requirementNeed(doc *openapi3.T, requirement openapi3.SecurityRequirement) (rule, error) {
	if requirement == nil {
		return rule{}, errors.New("holds null; write {} where a session is enough")
	}
	var names []string
	for _, scheme := range slices.Sorted(maps.Keys(requirement)) {
		if doc.Components == nil || doc.Components.SecuritySchemes[scheme] == nil {
			return rule{}, fmt.Errorf("the scheme %q is not in components.securitySchemes", scheme)
		}
		if requirement[scheme] == nil {
			return rule{}, fmt.Errorf("%s: is null; write [] where a session is enough", scheme)
		}
		for _, name := range requirement[scheme] {
			if err := checkScope(name); err != nil {
				return rule{}, fmt.Errorf("%s: %w", scheme, err)
			}
			names = append(names, name)
		}
	}
	scopes, err := scopesOf(names)
	return rule{scopes: scopes}, err
}
