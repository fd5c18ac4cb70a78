package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// fixedFields are the fields that an object of the specification has.
type fixedFields struct {
	said  []string // has a say in where an operation is, or in who may call it
	aside []string // has none
}

var (
	documentFields = fixedFields{
		said:  []string{"openapi", "servers", "security", "paths", "components"},
		aside: []string{"$self", "info", "jsonSchemaDialect", "webhooks", "tags", "externalDocs"},
	}
	pathItemFields = fixedFields{
		said:  append(methodFields(), "$ref", "servers", "additionalOperations"),
		aside: []string{"summary", "description", "parameters"},
	}
	operationFields = fixedFields{
		said:  []string{"servers", "security"},
		aside: []string{"tags", "summary", "description", "externalDocs", "operationId", "parameters", "requestBody", "responses", "callbacks", "deprecated"},
	}
)

// methodFields are the fields of a path item that hold an operation: one for each method.
func methodFields() []string {
	names := openapi3.PathItemMethods()
	for i, method := range names {
		names[i] = strings.ToLower(method)
	}
	return names
}

// outline takes out of object what has no say: a schema that is wrong, or that lies in
// another file, should keep nobody from starting.
//
// Of the rest nothing may be unknown, as "Security" and "GET" are, nor null: the operation
// would be open, or not be there, and nobody would notice.
func (f fixedFields) outline(object map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch {
		case slices.Contains(f.aside, name) || strings.HasPrefix(name, "x-"):
			delete(object, name)
		case !slices.Contains(f.said, name):
			return fmt.Errorf("unknown field %q; letter case counts, and extensions begin with x-", name)
		case object[name] == nil:
			return fmt.Errorf("%s: is null", name)
		}
	}
	return nil
}

// outlineDocument takes out of a document what has no say.
func outlineDocument(document map[string]any) error {
	if err := cmp.Or(documentFields.outline(document), outlineServers(document), checkSecurity(document)); err != nil {
		return err
	}
	paths, _ := document["paths"].(map[string]any)
	maps.DeleteFunc(paths, func(path string, _ any) bool { return strings.HasPrefix(path, "x-") })
	if err := in("paths", outlineItems(paths)); err != nil {
		return err
	}
	components, ok := document["components"].(map[string]any)
	if !ok && document["components"] != nil {
		return in("components", errNoObject)
	}
	maps.DeleteFunc(components, func(name string, _ any) bool {
		return name != "securitySchemes" && name != "pathItems"
	})
	items, ok := components["pathItems"].(map[string]any)
	if !ok && components["pathItems"] != nil {
		return in("components: pathItems", errNoObject)
	}
	return cmp.Or(in("components", outlineSchemes(components)), in("components: pathItems", outlineItems(items)))
}

func outlineItems(items map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(items)) {
		item, ok := items[name].(map[string]any)
		if !ok {
			return in(name, errNoObject)
		}
		if err := outlineItem(item); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func outlineItem(item map[string]any) error {
	if err := pathItemFields.outline(item); err != nil {
		return err
	}
	if reference, ok := item["$ref"]; ok {
		return checkReference(reference, len(item) > 1)
	}
	if err := outlineServers(item); err != nil {
		return err
	}
	for _, method := range methodFields() {
		if err := outlineOperation(item, method); err != nil {
			return err
		}
	}
	additional, ok := item["additionalOperations"].(map[string]any)
	if !ok && item["additionalOperations"] != nil {
		return in("additionalOperations", errNoObject)
	}
	for _, method := range slices.Sorted(maps.Keys(additional)) {
		if slices.Contains(openapi3.PathItemMethods(), strings.ToUpper(method)) {
			return fmt.Errorf("additionalOperations: %s has a field of its own in the path item: %s", method, strings.ToLower(method))
		}
		if err := outlineOperation(additional, method); err != nil {
			return err
		}
	}
	return nil
}

func outlineOperation(operations map[string]any, method string) error {
	v, ok := operations[method]
	if !ok {
		return nil
	}
	operation, ok := v.(map[string]any)
	if !ok {
		return in(method, errNoObject)
	}
	return in(method, cmp.Or(operationFields.outline(operation), outlineServers(operation), checkSecurity(operation)))
}

// checkReference accepts a reference to a path item that was outlined too, and is not overlaid with anything.
func checkReference(reference any, overlaid bool) error {
	target, isString := reference.(string)
	switch {
	case !isString:
		return errors.New("$ref: is no string")
	case target == "":
		return errors.New("$ref: is empty")
	case overlaid:
		return errors.New("$ref: stands beside operations or servers, and nobody can say which of them are meant")
	case !strings.HasPrefix(target, "#"):
		return errors.New("$ref: leads to another file, and none but this one is read; bundle the document into one file")
	case !strings.HasPrefix(target, "#/components/pathItems/") && !strings.HasPrefix(target, "#/paths/"):
		return errors.New("$ref: leads to something else than a path item of #/components/pathItems or #/paths")
	}
	return nil
}
