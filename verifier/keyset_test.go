package verifier_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func parseKeys(t *testing.T, jwks ...map[string]any) *verifier.StaticKeySet {
	t.Helper()
	keys, err := verifier.ParseKeySet(verifiertest.JWKS(t, jwks...))
	must(t, err)
	return keys
}

func parse(t *testing.T, token string) *verifier.Token {
	t.Helper()
	parsed, err := verifier.Parse(token, 0)
	must(t, err)
	return parsed
}

func TestParseKeySetErrors(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256").JWK()
	usable, err := json.Marshal(key)
	must(t, err)
	for _, c := range []struct{ jwks, mention string }{
		{`{"keys":[` + string(usable) + `]}`, ""},
		{`{"keys":[5,null,"x",[],{},` + string(usable) + `]}`, ""},
		{``, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`null`, "not a JSON object"},
		{`{"keys":[`, "not a JSON object"},
		{`{"keys":[]`, "not a JSON object"},
		{`{"keys":[` + string(usable) + `],"keys":[` + string(usable) + `]}`, "a member twice"},
		{`{"keys":[` + string(usable) + `],"ke\u0079s":[]}`, "a member twice"},
		{`{"keys":[` + string(usable) + `]} {}`, "data after its end"},
		{`{"keys":[` + string(usable) + `],"note":{"a":1,"a":2}}`, ""}, // nobody reads that
		{`{}`, "no array named keys"},
		{`{"KEYS":[` + string(usable) + `]}`, "no array named keys"},
		{`{"keys":{}}`, "no array named keys"},
		{`{"keys":[]}`, "no keys"},
		{string(usable), "no array named keys"},
		{`{"keys":[{"kty":"oct","k":"AAAA"}]}`, "the first is symmetric"},
		{`{"keys":[{"kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, "signs nothing"},
		{`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`, "not an Ed25519 key"},
		{`{"keys":[{"kty":"OKP","crv":"Ed448","x":"AAAA"}]}`, "malformed or of an unknown kind"},
		{`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, "not a point on its curve"},
		{`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, "RSA key of 17 bits"},
		{`{"keys":[{"kty":"RSA","n":5,"e":"AQAB"}]}`, "malformed"},
		{`{"keys":[{"kty":"EC","kty":"EC"}]}`, "member twice"},
	} {
		_, err := verifier.ParseKeySet([]byte(c.jwks))
		if (c.mention == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.mention) {
			t.Errorf("%.60s: got error %v, want %q", c.jwks, err, c.mention)
		}
	}
}

// RFC 7638 section 3.1 has an example.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	const jwks = `{"keys":[{"kty":"RSA","alg":"RS256","kid":"2011-04-29","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}]}`
	keys, err := verifier.ParseKeySet([]byte(jwks))
	must(t, err)
	if !keys.Holds("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs") {
		t.Error("the set does not hold the key by its thumbprint")
	}
	if keys.Holds("2011-04-29") || keys.Holds("") {
		t.Error("the set holds a key by something else")
	}
}

// The list of algorithms is the first line of defence. The keys are the second: with
// no list before them they still refuse what they are not for.
func TestKeysAloneDecideTheAlgorithm(t *testing.T) {
	key := verifiertest.NewKey(t, "RS256")
	public, err := json.Marshal(key.JWK())
	must(t, err)
	keys := parseKeys(t, key.JWK(), map[string]any{"kty": "oct", "k": "AAAA", "kid": "oct"})
	for _, kid := range []any{key.ID(), "oct", nil} {
		for _, alg := range []string{"none", "None", "HS256", "RS384", "PS256", "ES256", "RS256 ", ""} {
			header := map[string]any{"alg": alg, "kid": kid}
			unsigned := strings.TrimRight(key.Token(header, nil), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
			mac := hmac.New(sha256.New, public)
			mac.Write([]byte(strings.TrimSuffix(unsigned, ".")))
			for _, token := range []string{key.Token(header, nil), unsigned, unsigned + encodeRaw(mac.Sum(nil))} {
				if id, err := keys.VerifySignature(t.Context(), parse(t, token)); err == nil || id != "" {
					t.Errorf("alg %q, kid %v: verified by key %q", alg, kid, id)
				}
			}
		}
	}
	if _, err := keys.VerifySignature(t.Context(), parse(t, key.Token(nil, nil))); err != nil {
		t.Errorf("control: %v", err)
	}
}

// An issuer publishes its private key by mistake: it verifies, and comes out public.
func TestPrivateKeysAreReducedToTheirPublicPart(t *testing.T) {
	for alg, private := range map[string][]string{"RS256": {"d", "p", "q", "dp", "dq", "qi"}, "ES256": {"d"}, "EdDSA": {"d"}} {
		key := verifiertest.NewKey(t, alg)
		jwk := key.JWK()
		for _, member := range private {
			jwk[member] = "c2VjcmV0"
		}
		keys := parseKeys(t, jwk)
		if _, err := keys.VerifySignature(t.Context(), parse(t, key.Token(nil, nil))); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		out, err := json.Marshal(keys)
		must(t, err)
		if strings.Contains(string(out), "c2VjcmV0") {
			t.Errorf("%s: private members come out: %s", alg, out)
		}
	}
}

// A nullCase is a JWK with one member that is null, or else.
type nullCase struct {
	alg, member string
	value       any
	usable      bool
}

func (c nullCase) run(t *testing.T) {
	key := verifiertest.NewKey(t, c.alg)
	jwk := key.JWK()
	jwk[c.member] = c.value
	keys, err := verifier.ParseKeySet(verifiertest.JWKS(t, jwk))
	if !c.usable {
		if err == nil {
			t.Error("the key is taken")
		}
		return
	}
	must(t, err)
	header := map[string]any{}
	if c.member == "kid" {
		header["kid"] = nil
	}
	if _, err := keys.VerifySignature(t.Context(), parse(t, key.Token(header, nil))); err != nil {
		t.Error(err)
	}
	out, err := json.Marshal(keys)
	must(t, err)
	if strings.Contains(string(out), "null") {
		t.Errorf("null comes out: %s", out)
	}
}

// Servers that write out all members of their JWK class, with null for those that a
// key does not have, mean that it does not have them. What else is no string, or an
// empty list, does restrict the key.
func TestNullMembersOfAKeyAreAbsent(t *testing.T) {
	for _, c := range []nullCase{
		{"RS256", "use", nil, true},
		{"RS256", "use", "enc", false},
		{"RS256", "use", 5, false},
		{"RS256", "alg", nil, true},
		{"RS256", "alg", "ES256", false},
		{"RS256", "alg", []string{}, false},
		{"RS256", "key_ops", nil, true},
		{"RS256", "key_ops", []string{}, false},
		{"RS256", "key_ops", []any{nil}, false},
		{"RS256", "kid", nil, true},
		{"RS256", "kid", false, false},
		{"RS256", "crv", nil, true},
		{"ES256", "n", nil, true},
		{"EdDSA", "y", nil, true},
		{"RS256", "n", nil, false},
		{"RS256", "e", nil, false},
		{"ES256", "crv", nil, false},
		{"ES256", "y", nil, false},
		{"EdDSA", "x", nil, false},
		{"ES256", "kty", nil, false},
	} {
		t.Run(fmt.Sprintf("%s %s %v", c.alg, c.member, c.value), c.run)
	}
}

// What a set writes, it reads, with all that restricts its keys.
func TestMarshalKeySet(t *testing.T) {
	key := verifiertest.NewKey(t, "RS256")
	jwk := key.JWK()
	jwk["key_ops"] = []string{"verify", "sign"}
	out, err := json.Marshal(parseKeys(t, jwk, verifiertest.NewKey(t, "ES384").JWK(), verifiertest.NewKey(t, "EdDSA").JWK()))
	must(t, err)
	again, err := verifier.ParseKeySet(out)
	must(t, err)
	if again.Len() != 3 {
		t.Errorf("got %d keys, want 3", again.Len())
	}
	if _, err := again.VerifySignature(t.Context(), parse(t, key.Token(nil, nil))); err != nil {
		t.Error(err)
	}
	pss := key.Token(map[string]any{"alg": "PS256"}, nil)
	_, err = again.VerifySignature(t.Context(), parse(t, pss))
	wantCode(t, err, verifier.CodeAlgorithmNotAllowed)
}

// Whichever of nine keys of one kid signs, no token costs more than eight checks.
func TestTriesAreBoundedWithAKidToo(t *testing.T) {
	var jwks []map[string]any
	var last *verifiertest.Key
	for range 9 {
		last = verifiertest.NewKey(t, "EdDSA")
		jwk := last.JWK()
		jwk["kid"] = "same"
		jwks = append(jwks, jwk)
	}
	token := parse(t, last.Token(map[string]any{"kid": "same"}, nil))
	_, err := parseKeys(t, jwks...).VerifySignature(t.Context(), token)
	wantCode(t, err, verifier.CodeSignatureInvalid)
	_, err = parseKeys(t, jwks[1:]...).VerifySignature(t.Context(), token)
	wantCode(t, err, "")
}

func TestEveryAlgorithmVerifiesItsOwnAlone(t *testing.T) {
	algs := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	rsa := verifiertest.NewKey(t, "RS256")
	for _, alg := range algs {
		key := rsa
		if alg[0] == 'E' {
			key = verifiertest.NewKey(t, alg)
		}
		jwk := key.JWK()
		jwk["alg"] = alg
		keys := parseKeys(t, jwk)
		for _, as := range algs {
			if as[0] == 'E' != (alg[0] == 'E') || (as == "EdDSA") != (alg == "EdDSA") {
				continue // a key cannot sign so
			}
			input := strings.TrimSuffix(compact(fmt.Sprintf(`{"alg":%q,"kid":%q}`, as, key.ID()), `{}`, ""), ".")
			token := input + "." + encodeRaw(key.SignAs(as, []byte(input)))
			_, err := keys.VerifySignature(t.Context(), parse(t, token))
			if want := as == alg; (err == nil) != want {
				t.Errorf("key for %s, token signed as %s: got %v", alg, as, err)
			}
		}
	}
}
