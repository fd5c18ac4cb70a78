package caddymodule

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
)

// parseDocument reads JSON or YAML that can be read in one way alone. The library that
// knows OpenAPI would let the last of two equal members win without a word, read the first of
// several YAML documents, and multiply what a YAML alias stands for.
func parseDocument(data []byte) (map[string]any, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	parse := parseYAML
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		parse = parseJSON // YAML has no words for a surrogate pair
	}
	tree, err := parse(data)
	if err != nil {
		return nil, err
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, errors.New("is no OpenAPI document, which is an object in JSON or YAML")
	}
	return object, nil
}

// parseJSON reads one JSON value as the second version of encoding/json does, which refuses
// what RFC 8259 leaves to the reader: a member that stands twice, and text that is no UTF-8.
func parseJSON(data []byte) (tree any, err error) {
	err = json.Unmarshal(data, &tree)
	return tree, err
}
