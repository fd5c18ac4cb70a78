package caddymodule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A rewriting is a rewrite handler, and how requests come to it.
type rewriting struct {
	way  []*passage
	text string // what becomes of the path; empty: it stays as it is
}

// foundRewrite takes down a rewrite handler.
func (s *guardSearch) foundRewrite(raw json.RawMessage, way []*passage) error {
	text, err := rewriteText(raw)
	if err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	s.rewritings = append(slices.Clip(s.rewritings), &rewriting{way, text})
	return nil
}

// rewriteText says what a rewrite handler makes of the path, in the order in which it does so. The query,
// which may hold a secret, is not told.
func rewriteText(raw json.RawMessage) (string, error) {
	var config struct {
		URI       string            `json:"uri"`
		Prefix    string            `json:"strip_path_prefix"`
		Suffix    string            `json:"strip_path_suffix"`
		Substring []json.RawMessage `json:"uri_substring"`
		Regexp    []json.RawMessage `json:"path_regexp"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return "", err
	}
	var parts []string
	if path, _, _ := strings.Cut(config.URI, "?"); path != "" {
		parts = append(parts, "as "+path)
	}
	if config.Prefix != "" {
		parts = append(parts, "without "+config.Prefix)
	}
	if config.Suffix != "" {
		parts = append(parts, "without "+config.Suffix+" at its end")
	}
	if len(config.Substring) > 0 || len(config.Regexp) > 0 {
		parts = append(parts, "with replacements")
	}
	return strings.Join(parts, " and "), nil
}

// rewrittenBefore are the rewritings that a request to the end of way may have come through.
func (s *guardSearch) rewrittenBefore(way []*passage) []*rewriting {
	return slices.DeleteFunc(slices.Clone(s.rewritings), func(r *rewriting) bool { return !mayLead(r.way, way) })
}

// rewrittenText says what the path was made into before the guard; "" where that is nothing.
func (g *guard) rewrittenText() string {
	var all []string
	for _, r := range g.rewritings {
		if r.text != "" {
			all = append(all, r.text+aside(beyond(r.way, g.way, true)))
		}
	}
	return strings.Join(all, ", then ")
}
