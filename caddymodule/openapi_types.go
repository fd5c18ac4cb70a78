package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

var (
	serverFields = fixedFields{
		said:  []string{"url", "variables"},
		aside: []string{"name", "description"},
	}
	serverVariableFields = fixedFields{
		said:  []string{"default"},
		aside: []string{"enum", "description"},
	}
)

var errNoObject = errors.New("is no object")

// outlineServers leaves the first of the servers of an object, which is the one that has a say.
func outlineServers(object map[string]any) error {
	v, given := object["servers"]
	if !given {
		return nil
	}
	servers, ok := v.([]any)
	if !ok {
		return errors.New("servers: is no list")
	}
	servers = servers[:min(1, len(servers))]
	object["servers"] = servers
	for _, v := range servers {
		if v == nil {
			return errors.New("servers: is null")
		}
		server, ok := v.(map[string]any)
		if !ok {
			return in("servers", errNoObject)
		}
		if err := outlineServer(server); err != nil {
			return in("servers", err)
		}
	}
	return nil
}

func outlineServer(server map[string]any) error {
	if err := serverFields.outline(server); err != nil {
		return err
	}
	if _, isString := server["url"].(string); !isString && server["url"] != nil {
		return errors.New("url: is no string")
	}
	variables, isObject := server["variables"].(map[string]any)
	if !isObject && server["variables"] != nil {
		return in("variables", errNoObject)
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		variable, ok := variables[name].(map[string]any)
		if !ok {
			return fmt.Errorf("variables: %s: %w", name, errNoObject)
		}
		if err := serverVariableFields.outline(variable); err != nil {
			return fmt.Errorf("variables: %s: %w", name, err)
		}
		if _, isString := variable["default"].(string); !isString && variable["default"] != nil {
			return fmt.Errorf("variables: %s: default: is no string; write it in quotes", name)
		}
	}
	return nil
}

// checkSecurity finds what is of the wrong type in the security of an object. What is null there is found
// when it is asked what the operation needs.
func checkSecurity(object map[string]any) error {
	v, given := object["security"]
	if !given {
		return nil
	}
	requirements, ok := v.([]any)
	if !ok {
		return errors.New("security: is no list; a requirement is one element of it")
	}
	for _, v := range requirements {
		schemes, ok := v.(map[string]any)
		if !ok && v != nil {
			return errors.New("security: holds something else than an object, whose keys are schemes")
		}
		for _, scheme := range slices.Sorted(maps.Keys(schemes)) {
			if err := checkScopeList(schemes[scheme]); err != nil {
				return fmt.Errorf("security: %s: %w", scheme, err)
			}
		}
	}
	return nil
}

func checkScopeList(v any) error {
	scopes, ok := v.([]any)
	if !ok && v != nil {
		return errors.New("is no list of scopes")
	}
	for _, scope := range scopes {
		if _, isString := scope.(string); !isString {
			return errors.New("holds something else than a string, which a scope is; write it in quotes")
		}
	}
	return nil
}

// outlineSchemes leaves the names of the security schemes, which are all of them that has a say.
func outlineSchemes(components map[string]any) error {
	v, given := components["securitySchemes"]
	if !given {
		return nil
	}
	schemes, ok := v.(map[string]any)
	if !ok {
		return in("securitySchemes", errNoObject)
	}
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		if _, ok := schemes[name].(map[string]any); !ok {
			return fmt.Errorf("securitySchemes: %s: %w", name, errNoObject)
		}
		schemes[name] = map[string]any{}
	}
	return nil
}
