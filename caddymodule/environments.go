package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// loadEnvironments makes every environment ready for use, and holds each against
// the others. Its error names the environment and the field.
func loadEnvironments(all map[string]*Environment) error {
	if len(all) == 0 {
		return errors.New("no environment is configured")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := checkEnvironmentName(name); err != nil {
			return err
		}
		if err := all[name].load(name); err != nil {
			return fmt.Errorf("environment %s: %w", name, err)
		}
	}
	return checkTogether(all)
}

// checkTogether holds each environment against the others.
func checkTogether(all map[string]*Environment) error {
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		for _, other := range names[:i] {
			if err := checkApart(all[name], all[other]); err != nil {
				return fmt.Errorf("environments %s and %s: %w", other, name, err)
			}
		}
	}
	return nil
}

// checkApart wants two environments to be told apart by their tokens, and by their
// assertions where one login system signs for both: an assertion made for the one
// would otherwise be good in the other, once in each.
func checkApart(a, b *Environment) error {
	if a.ID == b.ID && a.ID != "" {
		return errors.New("id: both have the same")
	}
	shared := sharedTrust(a, b)
	switch {
	case shared == "":
		return nil
	case a.Assertion.Audience == "" || b.Assertion.Audience == "":
		return fmt.Errorf("assertion audience: missing; %s, so each needs an audience of its own", shared)
	case a.Assertion.Audience == b.Assertion.Audience:
		return fmt.Errorf("assertion audience: must differ, because %s", shared)
	}
	return nil
}

// sharedTrust says what a and b both believe, if there is anything.
func sharedTrust(a, b *Environment) string {
	shared := ""
	for _, p := range a.allProviders() {
		for _, q := range b.allProviders() {
			switch {
			case p.Issuer == q.Issuer:
				return "both trust one issuer"
			case !p.sharesKeys(q):
			case p.Discovery || q.Discovery:
				shared = cmp.Or(shared, "discovery may lead both to one JWKS")
			default:
				shared = "both trust one JWKS"
			}
		}
	}
	return shared
}

// chooseEnvironment returns the environment that a handler means by name: where it
// names none, the only one there is, else the one named default.
func chooseEnvironment(names []string, name string) (string, error) {
	known := strings.Join(slices.Sorted(slices.Values(names)), ", ")
	switch {
	case len(names) == 0:
		return "", errors.New("no environment is configured; the global option byoa does that")
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "" && !slices.Contains(names, defaultEnvironment):
		return "", fmt.Errorf("name one of the environments: %s; none of them is called default", known)
	case name == "":
		return defaultEnvironment, nil
	case !slices.Contains(names, name):
		return "", fmt.Errorf("unknown environment %q; known: %s", name, known)
	}
	return name, nil
}
