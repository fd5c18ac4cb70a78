package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads exactly one YAML document, in the terms of JSON. Its error names the line.
func parseYAML(data []byte) (any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root, more yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return nil, errors.New("is empty")
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins in this file", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, err := make(yamlExtents).of(&root); err != nil {
		return nil, err
	}
	return yamlValue(&root)
}

// yamlExtent is how large a node is, and how deep it nests, with everything that aliases in it
// stand for.
type yamlExtent struct{ size, depth int }

// yamlExtents are those of all nodes: a few lines of aliases of aliases would fill any
// memory. What is being measured has none yet.
type yamlExtents map[*yaml.Node]*yamlExtent

func (s yamlExtents) of(n *yaml.Node) (*yamlExtent, error) {
	if known, begun := s[n]; known != nil {
		return known, nil
	} else if begun {
		return nil, fmt.Errorf("line %d: an alias stands for something that it is a part of", n.Line)
	}
	s[n] = nil
	parts := n.Content
	if n.Alias != nil {
		parts = []*yaml.Node{n.Alias}
	}
	e := yamlExtent{size: 1 + len(n.Value)}
	for _, part := range parts {
		inner, err := s.of(part)
		if err != nil {
			return nil, err
		}
		e.size += inner.size
		e.depth = max(e.depth, 1+inner.depth)
		if e.size > 2*maxDocument {
			return nil, fmt.Errorf("line %d: aliases make the document too large", n.Line)
		}
		if e.depth > maxNesting {
			return nil, fmt.Errorf("line %d: nests deeper than %d", n.Line, maxNesting)
		}
	}
	s[n] = &e
	return &e, nil
}

// yamlValue is what a node is in the terms of JSON. The library's own way to it takes
// quadratic time for a long mapping.
func yamlValue(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		return yamlValue(n.Content[0])
	case yaml.AliasNode:
		return yamlValue(n.Alias)
	case yaml.SequenceNode:
		return yamlSequence(n)
	case yaml.MappingNode:
		return yamlMapping(n)
	default:
		return yamlScalar(n)
	}
}

func yamlScalar(n *yaml.Node) (any, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	if _, is := v.(time.Time); is {
		return n.Value, nil // JSON has no dates
	}
	return v, nil
}

func yamlSequence(n *yaml.Node) (any, error) {
	array := make([]any, len(n.Content))
	for i, element := range n.Content {
		var err error
		if array[i], err = yamlValue(element); err != nil {
			return nil, err
		}
	}
	return array, nil
}

// yamlMapping is an object whose keys are strings as they are written, also where YAML would
// read a number: "200:".
func yamlMapping(n *yaml.Node) (any, error) {
	object := make(map[string]any, len(n.Content)/2)
	var merged []*yaml.Node
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		_, twice := object[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: a key is no string", key.Line)
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
			continue
		case twice:
			return nil, fmt.Errorf("line %d: %q stands twice in one object", key.Line, key.Value)
		}
		var err error
		if object[key.Value], err = yamlValue(value); err != nil {
			return nil, err
		}
	}
	return object, mergeYAML(object, merged)
}

// mergeYAML adds what the merge keys ("<<") of an object name, one mapping or several, where it has
// no member of its own, and where an earlier one has none.
func mergeYAML(object map[string]any, merged []*yaml.Node) error {
	for _, n := range merged {
		v, err := yamlValue(n)
		if err != nil {
			return err
		}
		sources, several := v.([]any)
		if !several {
			sources = []any{v}
		}
		for _, source := range sources {
			members, ok := source.(map[string]any)
			if !ok {
				return fmt.Errorf("line %d: only mappings can be merged", n.Line)
			}
			for key, value := range members {
				if _, has := object[key]; !has {
					object[key] = value
				}
			}
		}
	}
	return nil
}
