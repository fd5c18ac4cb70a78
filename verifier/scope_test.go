package verifier_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

func scopes(t *testing.T, s string) verifier.Scopes {
	t.Helper()
	if s == "" {
		return verifier.Scopes{}
	}
	parsed, err := verifier.ParseScopes(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return parsed
}

func TestParseScopes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // nil: an error
	}{
		{"a", []string{"a"}},
		{"b a", []string{"b", "a"}},
		{"a b a b", []string{"a", "b"}},
		{"wallet:export", []string{"wallet:export"}},
		{"a,b", []string{"a,b"}},
		{"A a", []string{"A", "a"}},
		{"!#[]~", []string{"!#[]~"}},
		{"", nil},
		{" ", nil},
		{" a", nil},
		{"a ", nil},
		{"a  b", nil},
		{"a\tb", nil},
		{"a\nb", nil},
		{"a\u00a0b", nil},
		{"a\u2003b", nil},
		{`a"b`, nil},
		{`a\b`, nil},
		{"\x7f", nil},
		{"\x00", nil},
		{"é", nil},
		{"\xff", nil},
		{"ехроrt", nil}, // Cyrillic
	} {
		got, err := verifier.ParseScopes(c.in)
		if (err == nil) != (c.want != nil) || !slices.Equal(got.Names(), c.want) {
			t.Errorf("%q: got %q, %v; want %q", c.in, got.Names(), err, c.want)
		}
	}
}

// What only looks like a scope must not grant it.
func TestScopesHasIsExact(t *testing.T) {
	s := scopes(t, "wallet:export,admin Wallet:Sign")
	for _, name := range []string{"wallet:export", "admin", "wallet:sign", "Wallet", "wallet:*", "", " "} {
		if s.Has(name) {
			t.Errorf("%q grants %q", s, name)
		}
	}
	if !s.Has("Wallet:Sign") {
		t.Errorf("%q lacks its own member", s)
	}
}

func TestScopesAlgebra(t *testing.T) {
	for _, c := range []struct {
		a, b, union, without string
		hasAll, equal        bool
	}{
		{"a b", "b c", "a b c", "a", false, false},
		{"a b", "b a", "a b", "", true, true},
		{"a b", "b", "a b", "a", true, false},
		{"b", "a b", "b a", "", false, false},
		{"a", "", "a", "a", true, false},
		{"", "a", "a", "", false, false},
		{"", "", "", "", true, true},
	} {
		a, b := scopes(t, c.a), scopes(t, c.b)
		if got := a.Union(b).String(); got != c.union {
			t.Errorf("%q union %q: got %q, want %q", c.a, c.b, got, c.union)
		}
		if got := a.Without(b).String(); got != c.without {
			t.Errorf("%q without %q: got %q, want %q", c.a, c.b, got, c.without)
		}
		if got := a.HasAll(b); got != c.hasAll {
			t.Errorf("%q has all of %q: got %v", c.a, c.b, got)
		}
		if got := a.Equal(b); got != c.equal {
			t.Errorf("%q equals %q: got %v", c.a, c.b, got)
		}
		if a.String() != c.a || b.String() != c.b {
			t.Errorf("operands changed to %q and %q", a, b)
		}
		if a.Empty() != (c.a == "") {
			t.Errorf("%q empty: got %v", c.a, a.Empty())
		}
	}
}

// A caller writes into the slice it got.
func TestScopesNamesIsACopy(t *testing.T) {
	s := scopes(t, "a b")
	s.Names()[0] = "admin"
	if s.Has("admin") || s.String() != "a b" {
		t.Errorf("the set became %q", s)
	}
}

// A stranger sends as many scopes as a request body holds. Time must grow with
// their number, not with its square.
func TestParseScopesOfManyIsLinear(t *testing.T) {
	const many = 200_000
	var b strings.Builder
	for i := range many {
		for n := i; ; n /= 90 {
			b.WriteByte("!#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~"[n%90])
			if n < 90 {
				break
			}
		}
		b.WriteByte(' ')
	}
	s := scopes(t, strings.TrimSpace(b.String()))
	if !s.Equal(s.Union(s)) || !s.Without(s).Empty() || len(s.Names()) < many*9/10 {
		t.Errorf("got %d scopes", len(s.Names()))
	}
}
