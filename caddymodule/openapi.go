package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxOperations is how many operations a document may have. Each pattern of a table is
// held against all others, and a config has to be loaded in no time.
const maxOperations = 5000

// openAPIRoutes reads the OpenAPI document in a file, and returns a route for each of its
// operations. Its error names the file and the operation.
//
// It is one file: no reference out of it is followed, neither to another file nor to the network.
func openAPIRoutes(file string) ([]route, error) {
	data, err := readDocument(file)
	if err != nil {
		return nil, err // which names the file
	}
	routes, err := documentRoutes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range routes {
		routes[i].from = file
	}
	return routes, nil
}

// documentRoutes returns the route of each operation, in the order of paths and methods.
func documentRoutes(data []byte) ([]route, error) {
	tree, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	doc, err := openDocument(tree)
	if err != nil {
		return nil, err
	}
	var routes []route
	items := doc.Paths.Map()
	for _, path := range slices.Sorted(maps.Keys(items)) {
		operations := items[path].Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			r, err := operationRoute(doc, path, method)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			routes = append(routes, r)
		}
	}
	return routes, checkCount(len(routes))
}

// checkCount finds a document that adds nothing, which is hardly what it was named for, and one that adds too much.
func checkCount(operations int) error {
	switch {
	case operations == 0:
		return errors.New("has no operations")
	case operations > maxOperations:
		return fmt.Errorf("has %d operations, more than %d", operations, maxOperations)
	}
	return nil
}

// operationRoute is the line of the table that an operation is.
func operationRoute(doc *openapi3.T, path, method string) (route, error) {
	item := doc.Paths.Value(path)
	operation := item.Operations()[method]
	if err := checkMethod(method); err != nil {
		return route{}, err
	}
	base, err := basePath(nearestServers(doc, item, operation))
	if err != nil {
		return route{}, in("servers", err)
	}
	pattern, err := pathPattern(base, path)
	if err != nil {
		return route{}, err
	}
	need, err := operationNeed(doc, operation)
	if err != nil {
		return route{}, in("security", err)
	}
	return route{method: method, pattern: pattern, need: need}, nil
}
