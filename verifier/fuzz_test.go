package verifier_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// FuzzParse: what Parse accepts has one encoding only, and encoding/json, which is
// more lenient, reads the same in it.
func FuzzParse(f *testing.F) {
	for _, v := range verifiertest.ReadVectors(f, vectorDir) {
		if token := v.Make(f, ring, vectorNow).Token; len(token) < 4096 {
			f.Add(token)
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		parsed, err := verifier.Parse(token, 0)
		if err != nil {
			if parsed != nil || verifier.CodeOf(err) == "" {
				t.Fatalf("got %v with error %v", parsed, err)
			}
			return
		}
		parts := strings.Split(token, ".")
		if len(parts) != 3 || string(parsed.SigningInput()) != parts[0]+"."+parts[1] {
			t.Fatalf("signing input is %q", parsed.SigningInput())
		}
		for i, part := range parts {
			raw, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil || base64.RawURLEncoding.EncodeToString(raw) != part {
				t.Fatalf("part %d has another encoding", i)
			}
		}
		var header map[string]any
		raw, _ := base64.RawURLEncoding.DecodeString(parts[0])
		if err := json.Unmarshal(raw, &header); err != nil || header["alg"] != parsed.Algorithm() {
			t.Fatalf("header %q has alg %q: %v", raw, parsed.Algorithm(), err)
		}
	})
}

// FuzzParseClaims: what ParseClaims accepts is JSON, and as many members as were
// written are there to be read.
func FuzzParseClaims(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"iss":"i","sub":"s","aud":["a"],"exp":1,"nbf":1.5,"iat":-1}`, `{"a":{"b":[{"c":null}]},"a.b":1}`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":":{[\"\\"}`, `{} `, `{}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := verifier.ParseClaims(payload)
		if err != nil {
			if c != nil || verifier.CodeOf(err) != verifier.CodeTokenMalformed {
				t.Fatalf("got %v with error %v", c, err)
			}
			return
		}
		if !bytes.Equal(c.Payload(), payload) || c.Size() < len(payload) {
			t.Fatalf("payload of %q is %q, size %d", payload, c.Payload(), c.Size())
		}
		want := membersOf(t, payload)
		var got map[string]any
		decoder := json.NewDecoder(bytes.NewReader(payload))
		decoder.UseNumber()
		if err := decoder.Decode(&got); err != nil || !json.Valid(payload) {
			t.Fatalf("accepted what is not JSON: %q", payload)
		}
		if countTree(got) != want {
			t.Fatalf("%q has %d members, %d were written", payload, countTree(got), want)
		}
		for name, v := range got {
			if found, ok := c.Get(name); !ok || !reflect.DeepEqual(found, v) {
				t.Fatalf("%q: got %v, %v; want %v", name, found, ok, v)
			}
		}
	})
}

// membersOf counts the names in a JSON text by its tokens, which is another way
// than the one of the code under test.
func membersOf(t *testing.T, text []byte) int {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var count func() int
	count = func() int {
		token, err := decoder.Token()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		members := 0
		if delim, ok := token.(json.Delim); ok {
			for decoder.More() {
				if delim == '{' {
					if _, err := decoder.Token(); err != nil {
						t.Fatalf("%q: %v", text, err)
					}
					members++
				}
				members += count()
			}
			if _, err := decoder.Token(); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		return members
	}
	return count()
}

func countTree(v any) int {
	count := 0
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			count += 1 + countTree(member)
		}
	case []any:
		for _, element := range v {
			count += countTree(element)
		}
	}
	return count
}

// FuzzParseScopes: what ParseScopes accepts, it writes such that it reads the same
// again, and every member is a scope-token of its own.
func FuzzParseScopes(f *testing.F) {
	for _, seed := range []string{"a", "a b", "a b a", "a,b", " a", "a  b", "a\u00a0b", `a"b`, "a\tb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := verifier.ParseScopes(s)
		if err != nil {
			if !parsed.Empty() {
				t.Fatalf("got %q with error %v", parsed, err)
			}
			return
		}
		again, err := verifier.ParseScopes(parsed.String())
		if err != nil || !reflect.DeepEqual(again, parsed) || parsed.Empty() {
			t.Fatalf("%q becomes %q, then %q, %v", s, parsed, again, err)
		}
		for name := range strings.SplitSeq(s, " ") {
			one, err := verifier.ParseScopes(name)
			if err != nil || !parsed.Has(name) || len(one.Names()) != 1 {
				t.Fatalf("%q: member %q is no scope-token: %v", s, name, err)
			}
		}
	})
}
