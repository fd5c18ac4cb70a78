package caddymodule

import (
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
	if err := documentFields.outline(document); err != nil {
		return err
	}
	paths, _ := document["paths"].(map[string]any)
	maps.DeleteFunc(paths, func(path string, _ any) bool { return strings.HasPrefix(path, "x-") })
	if err := in("paths", outlineItems(paths)); err != nil {
		return err
	}
	components, ok := document["components"].(map[string]any)
	if !ok {
		return nil // or of the wrong type, which is reported when the document is opened
	}
	maps.DeleteFunc(components, func(name string, _ any) bool {
		return name != "securitySchemes" && name != "pathItems"
	})
	items, _ := components["pathItems"].(map[string]any)
	return in("components: pathItems", outlineItems(items))
}

func outlineItems(items map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(items)) {
		item, ok := items[name].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: is no object", name)
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
	for _, method := range methodFields() {
		if err := outlineOperation(item, method); err != nil {
			return err
		}
	}
	additional, _ := item["additionalOperations"].(map[string]any)
	for _, method := range slices.Sorted(maps.Keys(additional)) {
		if slices.Contains(openapi3.PathItemMethods(), strings.ToUpper(method)) {
			return fmt.Errorf("additionalOperations: %s has a field of its own", method)
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
		return fmt.Errorf("%s: is no object", method)
	}
	return in(method, operationFields.outline(operation))
}

// checkReference accepts a reference to a path item that was outlined too, and is not overlaid with anything.
func checkReference(reference any, overlaid bool) error {
	target, _ := reference.(string)
	switch {
	case overlaid:
		return errors.New("$ref: stands beside operations or servers, and nobody can say which of them are meant")
	case !strings.HasPrefix(target, "#"):
		return errors.New("$ref: leads to another file, and none but this one is read; bundle the document into one file")
	case !strings.HasPrefix(target, "#/components/pathItems/") && !strings.HasPrefix(target, "#/paths/"):
		return errors.New("$ref: leads to something else than a path item of #/components/pathItems or #/paths")
	}
	return nil
}
