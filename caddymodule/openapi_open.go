package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// openDocument makes a document of the tree that was read, with its references resolved.
// What has no say in who may call what is not in it.
func openDocument(tree map[string]any) (*openapi3.T, error) {
	if err := checkVersion(tree); err != nil {
		return nil, err
	}
	if err := outlineDocument(tree); err != nil {
		return nil, err
	}
	doc, err := decodeDocument(tree)
	if err != nil {
		return nil, err
	}
	if err := openapi3.NewLoader().ResolveRefsIn(doc, nil); err != nil {
		return nil, fmt.Errorf("resolving its references: %w", err)
	}
	return doc, checkItems(doc)
}

var openAPIVersion = regexp.MustCompile(`^3\.[0-2]\.\d+$`)

func checkVersion(tree map[string]any) error {
	const known = "OpenAPI 3.0, 3.1 and 3.2 can be read"
	v, given := tree["openapi"]
	text, isString := v.(string)
	switch {
	case tree["swagger"] != nil:
		return fmt.Errorf("is Swagger 2.0; %s, so convert it", known)
	case !given:
		return fmt.Errorf("is no OpenAPI document, because the field openapi is missing; %s", known)
	case !isString:
		return errors.New(`openapi: must be a string, such as "3.1.0"`)
	case !openAPIVersion.MatchString(text):
		return fmt.Errorf("openapi: unknown version %.20q; %s", text, known)
	}
	return nil
}

// decodeDocument decodes path by path, for the error to name the one that is wrong.
func decodeDocument(tree map[string]any) (*openapi3.T, error) {
	doc, paths := new(openapi3.T), openapi3.NewPaths()
	items, ok := tree["paths"].(map[string]any)
	if !ok {
		return nil, errors.New("paths: missing, or no object")
	}
	for _, path := range slices.Sorted(maps.Keys(items)) {
		item := new(openapi3.PathItem)
		if err := decodeAs(items[path], item); err != nil {
			return nil, fmt.Errorf("paths: %s: %w", path, err)
		}
		paths.Set(path, item)
	}
	delete(tree, "paths")
	if err := decodeAs(tree, doc); err != nil {
		return nil, err
	}
	doc.Paths = paths
	return doc, nil
}

// decodeAs makes an object of the library of a part of the tree.
func decodeAs(tree, object any) error {
	b, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, object)
}

// checkItems finds references that were followed to nowhere: to each other, or to a
// reference, which the library leaves as it is. Their operations would be missing in the table.
func checkItems(doc *openapi3.T) error {
	items := doc.Paths.Map()
	for _, path := range slices.Sorted(maps.Keys(items)) {
		if item := items[path]; item.Ref != "" && len(item.Operations()) == 0 {
			return fmt.Errorf("paths: %s: $ref: leads to no operation; it has to name a path item that is none itself", path)
		}
	}
	return nil
}
