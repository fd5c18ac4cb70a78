package verifiertest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// VectorIssuer is the issuer that all vectors are about.
const VectorIssuer = "https://issuer.example"

// publishedSecret is a symmetric key that a careless issuer puts into its JWK Set.
const publishedSecret = "a secret that everybody knows"

// A Case is a vector made real: a token, and how to verify it.
type Case struct {
	Token     string
	JWKS      []byte
	Config    verifier.Config // with Keys of JWKS
	Assertion bool            // verify as an assertion about Subject
	Subject   string
}

// A Ring makes the keys that vectors name, each once.
type Ring struct {
	tb   testing.TB
	keys map[string]*Key
}

// NewRing returns an empty Ring. It must not be used concurrently.
func NewRing(tb testing.TB) *Ring { return &Ring{tb: tb, keys: make(map[string]*Key)} }

// key returns the key of a name like es256 or es256-2: what stands before the
// hyphen is the algorithm. rsa1024 is an RSA key that is too short.
func (r *Ring) key(name string) *Key {
	r.tb.Helper()
	if k := r.keys[name]; k != nil {
		return k
	}
	alg, _, _ := strings.Cut(name, "-")
	var k *Key
	if alg == "rsa1024" {
		private, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			r.tb.Fatalf("making a key: %v", err)
		}
		k = &Key{tb: r.tb, alg: "RS256", private: private}
	} else {
		k = NewKey(r.tb, strings.Replace(strings.ToUpper(alg), "EDDSA", "EdDSA", 1))
	}
	k.kid = name
	r.keys[name] = k
	return k
}

// Make makes the token, at the instant now and with the keys of r.
func (v *Vector) Make(tb testing.TB, r *Ring, now time.Time) Case {
	tb.Helper()
	m := maker{tb: tb, ring: r, now: now}
	c := Case{JWKS: m.jwks(v.fields["jwk"])}
	c.Config = m.config(v)
	c.Subject = v.field("subject")
	c.Assertion = c.Subject != ""

	keys, err := verifier.ParseKeySet(c.JWKS)
	if err != nil {
		tb.Fatalf("vector %s: %v", v.Name, err)
	}
	c.Config.Keys = keys
	c.Token = m.token(v.field("header"), v.field("payload"), v.field("sign"), v.field("mutate"))
	return c
}

// A maker makes one case.
type maker struct {
	tb   testing.TB
	ring *Ring
	now  time.Time
}

// config has a clock that stands still: dates in a vector are exact to the second.
func (m maker) config(v *Vector) verifier.Config {
	m.tb.Helper()
	maxBytes := 0
	if s := v.field("max_bytes"); s != "" {
		var err error
		if maxBytes, err = strconv.Atoi(s); err != nil {
			m.tb.Fatalf("max_bytes: %v", err)
		}
	}
	return verifier.Config{
		Issuer:     VectorIssuer,
		Audiences:  strings.Fields(v.field("audience")),
		Algorithms: strings.Fields(v.field("algorithms")),
		Leeway:     m.duration(v.field("leeway")),
		MaxBytes:   maxBytes,
		Now:        func() time.Time { return m.now },
		Assertion: verifier.AssertionRules{
			Type:          v.field("assertion_type"),
			Audience:      v.field("assertion_audience"),
			MaxLifetime:   m.duration(v.field("max_lifetime")),
			RequireIssuer: m.flag(v.field("require_issuer")),
		},
	}
}

func (m maker) duration(s string) time.Duration {
	m.tb.Helper()
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		m.tb.Fatal(err)
	}
	return d
}

func (m maker) flag(s string) bool {
	m.tb.Helper()
	if s != "" && s != "on" {
		m.tb.Fatalf("%q is not on", s)
	}
	return s == "on"
}

// jwks makes the JWK Set of lines like `es256 alg=- use=enc`: the JWK of a key, with
// members changed, or left out where the value is a hyphen.
func (m maker) jwks(lines []string) []byte {
	m.tb.Helper()
	var jwks []map[string]any
	for _, line := range lines {
		words := strings.Fields(string(m.expand(line)))
		jwk := map[string]any{"kty": "oct", "k": encode([]byte(publishedSecret)), "kid": "oct"}
		if words[0] != "oct" {
			jwk = m.ring.key(words[0]).JWK()
		}
		for _, change := range words[1:] {
			name, value, _ := strings.Cut(change, "=")
			var v any
			if json.Unmarshal([]byte(value), &v) != nil {
				v = value
			}
			jwk[name] = v
			if value == "-" {
				delete(jwk, name)
			}
		}
		jwks = append(jwks, jwk)
	}
	return JWKS(m.tb, jwks...)
}

// token makes a token. What is done to the header or the payload is signed too, so
// that such a token fails for its form alone.
func (m maker) token(header, payload, sign, mutate string) string {
	m.tb.Helper()
	target, how, _ := strings.Cut(mutate, " ")
	spoil := func(name, part string) string {
		if name == target {
			return m.spoil(part, how)
		}
		return part
	}
	parts := []string{
		spoil("header", encode(m.expand(header))),
		spoil("payload", encode(m.expand(payload))),
	}
	signature := m.sign(sign, strings.Join(parts, "."))
	parts = append(parts, spoil("signature", encode(signature)))
	token := strings.Join(parts, ".")
	switch target {
	case "", "header", "payload", "signature":
		return token
	case "token":
		return m.deform(token, parts, how)
	}
	m.tb.Fatalf("nothing to mutate is called %q", target)
	return ""
}

// sign makes a signature: `none`, `<alg> <key>`, `<alg> <key> der`, or
// `HS256 <key> pem|der|jwk|oct` with the public key, so encoded, as the secret.
func (m maker) sign(sign, input string) []byte {
	m.tb.Helper()
	alg, rest, _ := strings.Cut(sign, " ")
	name, form, _ := strings.Cut(rest, " ")
	switch {
	case alg == "none":
		return nil
	case alg == "HS256":
		mac := hmac.New(sha256.New, m.secret(name, form))
		mac.Write([]byte(input))
		return mac.Sum(nil)
	case form == "der":
		der, err := m.ring.key(name).signAs(alg, []byte(input))
		if err != nil {
			m.tb.Fatalf("signing: %v", err)
		}
		return der
	}
	return m.ring.key(name).SignAs(alg, []byte(input))
}

// secret returns what an attacker who knows only the public key would use as a secret.
func (m maker) secret(name, form string) []byte {
	m.tb.Helper()
	if name == "oct" {
		return []byte(publishedSecret)
	}
	key := m.ring.key(name)
	der, err := x509.MarshalPKIXPublicKey(key.private.Public())
	if err != nil {
		m.tb.Fatalf("encoding a key: %v", err)
	}
	switch form {
	case "der":
		return der
	case "pem":
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	case "jwk":
		jwk, err := json.Marshal(key.JWK())
		if err != nil {
			m.tb.Fatalf("encoding a key: %v", err)
		}
		return jwk
	}
	m.tb.Fatalf("unknown form of a secret: %q", form)
	return nil
}

// spoil changes one part of a token.
func (m maker) spoil(part, how string) string {
	m.tb.Helper()
	change, ok := mutations[how]
	if !ok {
		m.tb.Fatalf("unknown mutation %q", how)
	}
	spoilt := change(part)
	if spoilt == part {
		m.tb.Fatalf("mutation %q changes nothing here", how)
	}
	return spoilt
}

// mutations change one part of a token. Some work on the text, where the same bytes
// have another spelling, some on the bytes.
var mutations = map[string]func(part string) string{
	"flip":          func(p string) string { return flip(p, len(p)/2) },
	"truncate":      func(p string) string { return encode(decode(p)[:len(decode(p))-3]) },
	"extend":        func(p string) string { return encode(append(decode(p), 0, 0, 0)) },
	"empty":         func(string) string { return "" },
	"zero":          func(p string) string { return strings.Repeat("A", len(p)) },
	"pad":           func(p string) string { return p + strings.Repeat("=", (4-len(p)%4)%4) },
	"newline":       func(p string) string { return p[:len(p)/2] + "\n" + p[len(p)/2:] },
	"return":        func(p string) string { return p[:len(p)/2] + "\r" + p[len(p)/2:] },
	"space":         func(p string) string { return p[:len(p)/2] + " " + p[len(p)/2:] },
	"standard":      strings.NewReplacer("-", "+", "_", "/").Replace,
	"trailing-bits": trailingBits,
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// flip changes one bit of the character at an index.
func flip(part string, at int) string {
	return part[:at] + string(alphabet[strings.IndexByte(alphabet, part[at])^1]) + part[at+1:]
}

// trailingBits sets a bit that a lenient decoder throws away, if there is one.
func trailingBits(part string) string {
	spoilt := flip(part, len(part)-1)
	if !bytes.Equal(decode(part), decode(spoilt)) {
		return part
	}
	return spoilt
}

func decode(part string) []byte {
	raw, _ := base64.RawURLEncoding.DecodeString(part)
	return raw
}

// deform changes the shape of a whole token.
func (m maker) deform(token string, parts []string, how string) string {
	m.tb.Helper()
	verb, arg, _ := strings.Cut(how, " ")
	switch verb {
	case "append":
		return token + string(m.expand(arg))
	case "prepend":
		return string(m.expand(arg)) + token
	case "replace":
		return string(m.expand(arg))
	case "json":
		return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2])
	case "payload":
		return parts[0] + "." + encode(m.expand(arg)) + "." + parts[2]
	case "flattened":
		return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2])
	}
	m.tb.Fatalf("unknown deformation %q", how)
	return ""
}

var placeholder = regexp.MustCompile(`\{\{(now|byte|repeat|jwk)([^{}]*)\}\}`)

// expand replaces {{now+60}} by a date, {{byte ff}} by a byte, {{repeat 3 ab}} by
// ababab and {{jwk es256}} by the public key.
func (m maker) expand(s string) []byte {
	m.tb.Helper()
	return placeholder.ReplaceAllFunc([]byte(s), func(found []byte) []byte {
		groups := placeholder.FindSubmatch(found)
		value, err := m.placeholder(string(groups[1]), string(groups[2]))
		if err != nil {
			m.tb.Fatalf("placeholder %s: %v", found, err)
		}
		return value
	})
}

func (m maker) placeholder(name, arg string) ([]byte, error) {
	switch name {
	case "now":
		if arg == "" {
			arg = "+0"
		}
		offset, err := strconv.ParseInt(arg, 10, 64)
		return strconv.AppendInt(nil, m.now.Unix()+offset, 10), err
	case "byte":
		return hex.DecodeString(strings.TrimSpace(arg))
	case "repeat":
		count, what, _ := strings.Cut(strings.TrimPrefix(arg, " "), " ")
		n, err := strconv.Atoi(count)
		return bytes.Repeat([]byte(what), n), err
	default:
		return json.Marshal(m.ring.key(strings.TrimSpace(arg)).JWK())
	}
}
