package verifier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Scopes is a set of scope-tokens (RFC 6749 section 3.3). It is immutable, keeps
// the order in which its members first appeared, and compares them byte for byte:
// no case folding, no patterns, no hierarchy. The zero value is the empty set.
type Scopes struct {
	names []string
	set   map[string]struct{}
}

// ParseScopes reads a space-delimited list of scope-tokens as RFC 6749 section 3.3
// defines it: separated by exactly one ASCII space, none at either end, of the
// characters %x21 / %x23-5B / %x5D-7E. Anything else is an error, the empty string
// too. Duplicates collapse.
func ParseScopes(s string) (Scopes, error) {
	if s == "" {
		return Scopes{}, errors.New("scope is empty")
	}
	names := strings.Split(s, " ")
	for i, name := range names {
		if name == "" {
			return Scopes{}, errors.New("scope has a space at an end, or two in a row")
		}
		if at := strings.IndexFunc(name, notScopeChar); at >= 0 {
			return Scopes{}, fmt.Errorf("scope-token %d holds a character at byte %d that RFC 6749 section 3.3 does not allow", i+1, at)
		}
	}
	return newScopes(names), nil
}

func notScopeChar(r rune) bool {
	return r < 0x21 || r > 0x7e || r == '"' || r == '\\'
}

func newScopes(names []string) Scopes {
	s := Scopes{set: make(map[string]struct{}, len(names))}
	for _, name := range names {
		if s.Has(name) {
			continue
		}
		s.set[name] = struct{}{}
		s.names = append(s.names, name)
	}
	return s
}

// Has reports whether name is in the set.
func (s Scopes) Has(name string) bool {
	_, ok := s.set[name]
	return ok
}

// HasAll reports whether every member of other is in the set. It is true for the
// empty set.
func (s Scopes) HasAll(other Scopes) bool { return other.Without(s).Empty() }

// Without returns the members of s that are not in other.
func (s Scopes) Without(other Scopes) Scopes {
	return newScopes(slices.DeleteFunc(s.Names(), other.Has))
}

// Union returns the members of s, then those of other that s does not have.
func (s Scopes) Union(other Scopes) Scopes {
	return newScopes(append(s.Names(), other.names...))
}

// Empty reports whether the set has no member.
func (s Scopes) Empty() bool { return len(s.names) == 0 }

// Names returns the members, in a slice of the caller's own.
func (s Scopes) Names() []string { return slices.Clone(s.names) }

// String returns the members separated by single spaces, as [ParseScopes] reads them.
func (s Scopes) String() string { return strings.Join(s.names, " ") }

// Equal reports whether both sets have the same members, in whatever order.
func (s Scopes) Equal(other Scopes) bool {
	return len(s.names) == len(other.names) && s.HasAll(other)
}
