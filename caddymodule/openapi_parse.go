package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxNesting is how deep the objects of a document may nest. Schemas that people write stay far below it.
const maxNesting = 500

// parseDocument reads JSON or YAML that can be read in one way alone. The library that
// knows OpenAPI would let the last of two equal members win without a word, read the first of
// several YAML documents, and multiply what a YAML alias stands for.
func parseDocument(data []byte) (map[string]any, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	parse := parseYAML
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		parse = parseJSON
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

// parseJSON reads exactly one JSON value. Its error names the line.
func parseJSON(data []byte) (any, error) {
	r := jsonReader{Decoder: json.NewDecoder(bytes.NewReader(data)), data: data}
	v, err := r.value(maxNesting)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", r.line(), err)
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: there is something after the end of the document", r.line())
	}
	return v, nil
}

// A jsonReader reads JSON as encoding/json does, and refuses an object that has a member twice.
type jsonReader struct {
	*json.Decoder
	data []byte
}

// line is where the reader is.
func (r *jsonReader) line() int {
	return 1 + bytes.Count(r.data[:r.InputOffset()], []byte("\n"))
}

func (r *jsonReader) value(depth int) (any, error) {
	token, err := r.Token()
	switch {
	case err != nil:
		return nil, unexpectedEnd(err)
	case depth == 0:
		return nil, fmt.Errorf("nests deeper than %d", maxNesting)
	case token == json.Delim('{'):
		return r.object(depth - 1)
	case token == json.Delim('['):
		return r.array(depth - 1)
	}
	return token, nil
}

func (r *jsonReader) object(depth int) (any, error) {
	object := make(map[string]any)
	for r.More() {
		name, err := r.Token()
		if err != nil {
			return nil, unexpectedEnd(err)
		}
		key, _ := name.(string) // or the decoder had refused it
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("%q stands twice in one object", key)
		}
		if object[key], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.Token()
	return object, unexpectedEnd(err)
}

func (r *jsonReader) array(depth int) (any, error) {
	array := []any{}
	for r.More() {
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	_, err := r.Token()
	return array, unexpectedEnd(err)
}

// unexpectedEnd names the end of the data for what it is within a value.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
