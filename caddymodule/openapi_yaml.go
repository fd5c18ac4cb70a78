package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxNesting is how deep a YAML document may nest, with everything that aliases in it stand for.
const maxNesting = 500

// parseYAML reads exactly one YAML document, in the terms of JSON.
func parseYAML(data []byte) (tree any, err error) {
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
	budget := yamlBudget(2 * maxDocument)
	if err := budget.spend(&root, maxNesting); err != nil {
		return nil, err
	}
	err = root.Decode(&tree)
	return tree, err
}

// A yamlBudget is how much may still be decoded: one for each byte of text and eight for each node,
// again wherever an alias stands for it. The library counts aliases, but neither the bytes that they
// stand for, nor what a large mapping costs. Documents that people write cost about their own size.
type yamlBudget int64

// spend prepares a node for the library, and everything in it.
func (b *yamlBudget) spend(n *yaml.Node, depth int) error {
	*b -= yamlBudget(8 + len(n.Value))
	switch {
	case depth < 0:
		return fmt.Errorf("line %d: nests deeper than %d", n.Line, maxNesting)
	case *b < 0:
		return fmt.Errorf("line %d: the document holds too much: in its aliases, in large mappings, or in all", n.Line)
	case n.Kind == yaml.AliasNode:
		return b.spend(n.Alias, depth-1)
	case n.Kind == yaml.MappingNode:
		if err := b.spendKeys(n); err != nil {
			return err
		}
	case n.ShortTag() == "!!timestamp":
		n.Tag = "!!str" // JSON has no dates
	}
	for _, part := range n.Content {
		if err := b.spend(part, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// spendKeys makes each key of a mapping a string, as it is written, also where YAML would
// read a number: "200:". It finds those that stand twice: the library does too, but it compares each
// with each, and keeps an error for every two that are the same.
func (b *yamlBudget) spendKeys(n *yaml.Node) error {
	count := yamlBudget(len(n.Content) / 2)
	*b -= count * count / 5 // which leaves a mapping about 10,000
	seen := make(map[string]bool, count)
	for pair := range slices.Chunk(n.Content, 2) {
		key := pair[0]
		switch {
		case key.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: a key is no string", key.Line)
		case seen[key.Value]:
			return fmt.Errorf("line %d: %.100q stands twice in one object", key.Line, key.Value)
		case key.ShortTag() != "!!merge":
			key.Tag = "!!str"
		}
		seen[key.Value] = true
	}
	return nil
}
