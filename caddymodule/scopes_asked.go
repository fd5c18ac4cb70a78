package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// scopesAsked are the scopes that the step_up handlers of a config ask for, and the environments
// whose users come to them.
type scopesAsked struct {
	mu           sync.Mutex
	names        map[string]struct{}
	environments []*Environment
}

// of takes an environment that a gate names.
func (a *scopesAsked) of(e *Environment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.environments = append(a.environments, e)
}

// add takes all that a handler may ask for.
func (a *scopesAsked) add(s *StepUp) {
	a.addNames(s.scopes)
	if s.table != nil {
		for _, r := range s.table.routes {
			a.addNames(r.need.scopes)
		}
	}
}

func (a *scopesAsked) addNames(scopes verifier.Scopes) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names == nil {
		a.names = make(map[string]struct{})
	}
	for _, name := range scopes.Names() {
		a.names[name] = struct{}{}
	}
}

// ungranted says, in a sentence for each, which scopes no environment of a gate grants: a request that
// needs one can never pass, which is seldom meant. An environment without a `scope` line grants any.
func (a *scopesAsked) ungranted() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.environments) == 0 {
		return nil // nobody passes anywhere
	}
	granted := make(map[string]struct{})
	for _, e := range a.environments {
		if len(e.Scopes) == 0 {
			return nil
		}
		for name := range e.Scopes {
			granted[name] = struct{}{}
		}
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(a.names)) {
		if _, ok := granted[name]; !ok {
			warnings = append(warnings, fmt.Sprintf("step_up: no environment of a byoa grants the scope %s, so nobody can pass where it is needed: "+
				"add `scope %[1]s` to the environment, or correct the name", name))
		}
	}
	return warnings
}
