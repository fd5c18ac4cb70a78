package verifier_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

func claims(t *testing.T, payload string) *verifier.Claims {
	t.Helper()
	c, err := verifier.ParseClaims([]byte(payload))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return c
}

func TestParseClaims(t *testing.T) {
	c := claims(t, `{"iss":"i","sub":"s","jti":"j","aud":["a","b"],"iat":1,"nbf":2.5,"exp":9007199254740992}`)
	want := verifier.Claims{Issuer: "i", Subject: "s", ID: "j", Audience: []string{"a", "b"}}
	if c.Issuer != want.Issuer || c.Subject != want.Subject || c.ID != want.ID || !reflect.DeepEqual(c.Audience, want.Audience) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if !c.IssuedAt.Equal(time.Unix(1, 0)) || !c.NotBefore.Equal(time.Unix(2, 5e8)) || c.Expiry.Unix() != 1<<53 {
		t.Errorf("got dates %v, %v, %v", c.IssuedAt, c.NotBefore, c.Expiry)
	}
	if c.Key != "" || c.Type != "" {
		t.Errorf("got key %q and type %q of claims that nobody verified", c.Key, c.Type)
	}
}

func TestParseClaimsOfNone(t *testing.T) {
	c := claims(t, `{}`)
	if !c.IssuedAt.IsZero() || !c.NotBefore.IsZero() || !c.Expiry.IsZero() || c.Audience != nil {
		t.Errorf("got %+v, want nothing", c)
	}
}

func TestParseClaimsRefuses(t *testing.T) {
	for _, payload := range []string{
		``, `null`, `[]`, `{}{}`, `{"a":1,"a":1}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`,
		`{"iss":1}`, `{"sub":null}`, `{"jti":1}`, `{"aud":1}`, `{"aud":[1]}`, `{"exp":"1"}`, `{"nbf":null}`, `{"iat":1e300}`,
	} {
		_, err := verifier.ParseClaims([]byte(payload))
		if verifier.CodeOf(err) != verifier.CodeTokenMalformed {
			t.Errorf("%s: got %v, want %s", payload, err, verifier.CodeTokenMalformed)
		}
	}
}

func TestClaimsGet(t *testing.T) {
	c := claims(t, `{
		"sub": "s", "null": null, "": {"": 1}, "n": 12345678901234567890.5, "list": [1, {"a": 2}],
		"realm": {"roles": ["x"], "deep": {"er": true}, "dotted.name": 3},
		"https://x.example/roles": ["r"], "https://x.example/app": {"id": 4},
		"a.b": 5, "a": {"b": {"c": 6}, "d": 7}
	}`)
	for _, g := range []struct {
		path string
		want any // nil: not there
	}{
		{"sub", "s"},
		{"n", json.Number("12345678901234567890.5")},
		{"realm.roles", []any{"x"}},
		{"realm.deep.er", true},
		{"realm.dotted.name", json.Number("3")},
		{"https://x.example/roles", []any{"r"}},
		{"https://x.example/app.id", json.Number("4")},
		{"a.b", json.Number("5")},
		{"a.d", json.Number("7")},
		{"a.b.c", nil}, // the longest name, a.b, wins, and is no object
		{"list", []any{json.Number("1"), map[string]any{"a": json.Number("2")}}},
		{"list.0", nil},
		{"sub.x", nil},
		{"none", nil},
		{"realm.none", nil},
		{"SUB", nil},
	} {
		got, ok := c.Get(g.path)
		if ok != (g.want != nil) || !reflect.DeepEqual(got, g.want) {
			t.Errorf("%s: got %v, %v; want %v", g.path, got, ok, g.want)
		}
	}
	if v, ok := c.Get("null"); !ok || v != nil {
		t.Errorf("null: got %v, %v; want nil, true", v, ok)
	}
}

// What one request does with its claims must not reach the next that shares them.
func TestClaimsGiveCopiesAway(t *testing.T) {
	c := claims(t, `{"o":{"list":[{"a":1}]}}`)
	o, _ := c.Get("o")
	o.(map[string]any)["list"].([]any)[0].(map[string]any)["a"] = "changed"
	o.(map[string]any)["new"] = true
	c.Payload()[0] = 'x'
	want := map[string]any{"list": []any{map[string]any{"a": json.Number("1")}}}
	if again, _ := c.Get("o"); !reflect.DeepEqual(again, want) {
		t.Errorf("got %v, want %v", again, want)
	}
	if got := string(c.Payload()); got != `{"o":{"list":[{"a":1}]}}` {
		t.Errorf("payload became %s", got)
	}
}

// A caller reuses its buffer.
func TestParseClaimsKeepsItsOwnPayload(t *testing.T) {
	buffer := []byte(`{"sub":"s"}`)
	c, err := verifier.ParseClaims(buffer)
	must(t, err)
	copy(buffer, `{"sub":"x"}`)
	if got := string(c.Payload()); got != `{"sub":"s"}` {
		t.Errorf("payload became %s", got)
	}
}

func TestClaimsDecode(t *testing.T) {
	var v struct{ Email string }
	if err := claims(t, `{"email":"a@example.com"}`).Decode(&v); err != nil || v.Email != "a@example.com" {
		t.Errorf("got %+v, %v", v, err)
	}
	if err := new(verifier.Claims).Decode(&v); err == nil {
		t.Error("decoded claims that are not there")
	}
	if _, ok := new(verifier.Claims).Get("sub"); ok {
		t.Error("found a claim among none")
	}
}

// A cache counts what Size says: it must not be far below what the claims take.
func TestClaimsSizeFollowsTheContent(t *testing.T) {
	small := claims(t, `{"sub":"s"}`).Size()
	long := claims(t, `{"sub":"`+strings.Repeat("s", 10_000)+`"}`).Size()
	if long < small+19_000 {
		t.Errorf("10000 bytes more, as payload and as claim, count %d", long-small)
	}
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `"%d":[1],`, i)
	}
	if many := claims(t, `{`+b.String()+`"x":{}}`).Size(); many < small+1000*80 {
		t.Errorf("1000 members more count %d", many-small)
	}
}
