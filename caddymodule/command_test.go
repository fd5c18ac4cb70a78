package caddymodule_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// TestMain makes this test binary the command caddy, for scripts and whatever else runs it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"caddy": caddycmd.Main})
}

// cast is who the scripts deal with: two login systems, and tokens of theirs.
type cast struct {
	issuer, partner *verifiertest.Issuer
	tokens          map[string]string // by variable
	files           map[string][]byte // by name
	secret          string            // of the key in those files
	takenPort       string
	example         string // path of Caddyfile.example
}

func newCast(t *testing.T) *cast {
	c := &cast{issuer: verifiertest.NewIssuer(t), partner: verifiertest.NewIssuer(t)}
	stranger := verifiertest.NewIssuer(t, verifiertest.WithIssuer(c.issuer.URL()))
	now := time.Now()
	aud := map[string]any{"aud": audience}
	with := func(more map[string]any) map[string]any {
		claims := maps.Clone(aud)
		maps.Copy(claims, more)
		return claims
	}
	// No script may find one expired that is not about that, however long the others take.
	assertion := func(scope string, more map[string]any) string {
		claims := map[string]any{"exp": now.Add(50 * time.Minute).Unix()}
		maps.Copy(claims, more)
		return c.issuer.Assertion("user-1", scope, claims)
	}
	c.tokens = map[string]string{
		"TOKEN":      c.issuer.Token(aud),
		"PARTNER":    c.partner.Token(aud),
		"EXPIRED":    c.issuer.Token(with(map[string]any{"exp": now.Add(-time.Minute).Unix()})),
		"AUDIENCE":   c.issuer.Token(map[string]any{"aud": "https://other.example"}),
		"FORGED":     stranger.Token(aud),
		"BAD":        stranger.Token(map[string]any{"aud": "https://other.example", "exp": now.Add(-time.Minute).Unix(), "sub": nil}),
		"ANONYMOUS":  c.issuer.Token(with(map[string]any{"iss": nil})),
		"ELSEWHERE":  c.issuer.Token(with(map[string]any{"iss": "https://elsewhere.example"})),
		"ASSERTION":  assertion("wallet:export", nil),
		"NAMED":      assertion("wallet:export", map[string]any{"iss": c.issuer.URL()}),
		"UNSCOPED":   assertion("", nil),
		"TOOMUCH":    assertion("wallet:export wallet:burn", nil),
		"FARAHEAD":   assertion("wallet:export", map[string]any{"exp": now.Add(48 * time.Hour).Unix()}),
		"INCOMPLETE": strings.TrimRight(c.issuer.Token(aud), "AQgw") + "!",
	}
	c.files, c.secret = keyFiles(t)
	c.files["jwks.json"] = c.issuer.JWKS()
	c.files["token.txt"] = []byte(c.tokens["TOKEN"] + "\n")
	c.takenPort = occupyPort(t)
	var err error
	if c.example, err = filepath.Abs(filepath.Join("..", "Caddyfile.example")); err != nil {
		t.Fatal(err)
	}
	return c
}

// occupyPort keeps a loopback port until the test ends.
func occupyPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (c *cast) setup(env *testscript.Env) error {
	env.Setenv("ISSUER", c.issuer.URL())
	env.Setenv("JWKS_URL", c.issuer.JWKSURL())
	env.Setenv("PARTNER_ISSUER", c.partner.URL())
	env.Setenv("PARTNER_JWKS_URL", c.partner.JWKSURL())
	env.Setenv("DOWN_URL", c.issuer.URL()+"/down")
	env.Setenv("TAKEN_PORT", c.takenPort)
	env.Setenv("EXAMPLE", c.example)
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
	for name, token := range c.tokens {
		env.Setenv(name, token)
	}
	env.Setenv("SECRET", c.secret)
	for name, content := range c.files {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// silent fails the script if the last command printed any part of any token, or of its input.
func (c *cast) silent(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("silent cannot be negated")
	}
	for _, stream := range []string{"stdout", "stderr"} {
		printed := ts.ReadFile(stream)
		for name, token := range c.tokens {
			for _, part := range strings.Split(token, ".") {
				if strings.Contains(printed, part) {
					ts.Fatalf("%s holds a part of $%s", stream, name)
				}
			}
		}
	}
}

func TestCommands(t *testing.T) {
	c := newCast(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "command"),
		Setup:               c.setup,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"silent": c.silent},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// keyFiles are private keys, and files that are none, around one key whose secret part is returned.
func keyFiles(t *testing.T) (files map[string][]byte, secret string) {
	key := verifiertest.NewKey(t, "ES256")
	private := privateJWK(t, key)
	mixed := maps.Clone(private)
	mixed["x"] = verifiertest.NewKey(t, "ES256").JWK()["x"]
	secret = private["d"].(string)
	return map[string][]byte{
		"key.pem":       pkcs8(t, key),
		"key.jwk":       encodeJSON(t, private),
		"public.jwk":    encodeJSON(t, key.JWK()),
		"set.jwk":       encodeJSON(t, map[string]any{"keys": []any{private}}),
		"mixed.jwk":     encodeJSON(t, mixed),
		"short.jwk":     encodeJSON(t, map[string]any{"kty": "EC", "crv": "P-256", "d": secret[:20]}),
		"symmetric.jwk": encodeJSON(t, map[string]any{"kty": "oct", "k": secret}),
		"padded.jwk":    encodeJSON(t, map[string]any{"kty": "EC", "crv": "P-256", "d": secret + "="}),
		"no.jwk":        []byte(`{"kty": "EC", "d": "` + secret + `"`),
		"no.key":        []byte(secret),
		"cut.pem":       pkcs8(t, key)[:60],
		"cert.pem":      pemOf(t, "CERTIFICATE", []byte(secret), nil),
		"encrypted.pem": pemOf(t, "ENCRYPTED PRIVATE KEY", []byte(secret), nil),
		"malformed.pem": pemOf(t, "PRIVATE KEY", []byte(secret), nil),
	}, secret
}

// Whatever form a key has, the gateway's own verifier accepts what is signed with it.
func TestAssertionCommandSignsWithEveryKindOfKey(t *testing.T) {
	for _, test := range []keyTest{
		{name: "PKCS #8, P-256", make: "ES256", file: pkcs8},
		{name: "SEC 1, P-256", make: "ES256", file: sec1},
		{name: "as openssl ecparam writes it", make: "ES256", file: afterParameters},
		{name: "JWK, P-256", make: "ES256", file: jwkFile},
		{name: "PKCS #8, P-384", make: "ES384", file: pkcs8},
		{name: "JWK, P-521", make: "ES512", file: jwkFile},
		{name: "PKCS #8, RSA", make: "RS256", file: pkcs8},
		{name: "PKCS #1", make: "RS256", file: pkcs1},
		{name: "JWK, RSA", make: "RS256", file: jwkFile},
		{name: "JWK for PS256", make: "PS256", file: jwkFile},
		{name: "RSA for PS512 by the flag", make: "PS512", file: pkcs8, flags: []string{"--algorithm", "PS512"}},
		{name: "PKCS #8, Ed25519", make: "EdDSA", file: pkcs8},
		{name: "JWK, Ed25519", make: "EdDSA", file: jwkFile},
	} {
		t.Run(test.name, test.run)
	}
}

type keyTest struct {
	name  string
	make  string // the algorithm that the key is made and published for
	file  func(testing.TB, *verifiertest.Key) []byte
	flags []string
}

func (test keyTest) run(t *testing.T) {
	key := verifiertest.NewKey(t, test.make)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, test.file(t, key), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"assertion", "--key", path, "--kid", key.ID(), "--subject", "alice", "--scope", "wallet:export wallet:sign",
		"--type", "step-up+jwt", "--audience", "byoa-step-up", "--issuer", "https://auth.example.com", "--lifetime", "2m",
	}
	token := byoaCommand(t, append(args, test.flags...)...)
	keys, err := verifier.ParseKeySet(verifiertest.JWKS(t, key.JWK()))
	if err != nil {
		t.Fatal(err)
	}
	v, err := verifier.New(verifier.Config{
		Issuer:    "https://auth.example.com",
		Keys:      keys,
		Assertion: verifier.AssertionRules{Type: "step-up+jwt", Audience: "byoa-step-up", MaxLifetime: 2 * time.Minute, RequireIssuer: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.VerifyAssertion(t.Context(), strings.TrimSuffix(token, "\n"), "alice")
	if err != nil {
		t.Fatalf("the verifier refuses it: %v", err)
	}
	if got := a.Scopes.String(); got != "wallet:export wallet:sign" {
		t.Errorf("scopes %q, want those asked for", got)
	}
}

func TestAssertionCommandNeverRepeatsAnID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pkcs8(t, verifiertest.NewKey(t, "ES256")), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(map[any]bool)
	for range 2 {
		token := byoaCommand(t, "assertion", "--key", path, "--subject", "alice", "--scope", "a")
		id := claimsOf(t, strings.TrimSpace(token))["jti"]
		if id == nil || id == "" || seen[id] {
			t.Errorf("jti %v, want one that was not there before", id)
		}
		seen[id] = true
	}
}

// Only the issuer of the token is asked for keys, and nobody for anything else.
func TestCheckCommandFetchesOnlyTheKeysItNeeds(t *testing.T) {
	issuer, other := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(`{
	byoa {
		environment {
			issuer `+issuer.URL()+`
			jwks_url `+issuer.JWKSURL()+`
			provider `+other.URL()+` {
				jwks_url `+other.JWKSURL()+`
			}
		}
	}
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("caddy", "byoa", "check", "--config", config, "-")
	cmd.Stdin = strings.NewReader(issuer.Token(nil) + "\n")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(dir, "data"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := issuer.Fetches(); n != 1 {
		t.Errorf("%d fetches from the token's issuer, want 1", n)
	}
	if n := other.Fetches(); n != 0 {
		t.Errorf("%d fetches from another issuer, want none", n)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "data"))
	if !os.IsNotExist(err) {
		t.Errorf("check left something in the data directory: %v, %v", entries, err)
	}
}

// byoaCommand runs `caddy byoa` in this process, and returns what it prints.
func byoaCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd, out := new(cobra.Command), new(bytes.Buffer)
	caddycmd.Commands()["byoa"].CobraFunc(cmd)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func pkcs8(tb testing.TB, key *verifiertest.Key) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key.Private())
	return pemOf(tb, "PRIVATE KEY", der, err)
}

func sec1(tb testing.TB, key *verifiertest.Key) []byte {
	der, err := x509.MarshalECPrivateKey(key.Private().(*ecdsa.PrivateKey))
	return pemOf(tb, "EC PRIVATE KEY", der, err)
}

func afterParameters(tb testing.TB, key *verifiertest.Key) []byte {
	return append(pemOf(tb, "EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil), sec1(tb, key)...)
}

func pkcs1(tb testing.TB, key *verifiertest.Key) []byte {
	return pemOf(tb, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key.Private().(*rsa.PrivateKey)), nil)
}

func pemOf(tb testing.TB, typ string, der []byte, err error) []byte {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func jwkFile(tb testing.TB, key *verifiertest.Key) []byte { return encodeJSON(tb, privateJWK(tb, key)) }

// privateJWK is the key with its private members (RFC 7518 section 6, RFC 8037 section 2).
func privateJWK(tb testing.TB, key *verifiertest.Key) map[string]any {
	tb.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	jwk := key.JWK()
	switch private := key.Private().(type) {
	case *ecdsa.PrivateKey:
		d, err := private.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		jwk["d"] = encode(d)
	case *rsa.PrivateKey:
		jwk["d"], jwk["p"], jwk["q"] = encode(private.D.Bytes()), encode(private.Primes[0].Bytes()), encode(private.Primes[1].Bytes())
	case ed25519.PrivateKey:
		jwk["d"] = encode(private.Seed())
	}
	return jwk
}

func encodeJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
