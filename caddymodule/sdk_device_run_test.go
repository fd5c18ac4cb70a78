package caddymodule_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// nonceKeyFile is where Caddy's storage keeps the key of an environment's nonces.
func (g *running) nonceKeyFile(environment string) string {
	return filepath.Join(g.storage(), "storage", "byoa", "nonces", environment+".key")
}

// A nonce that was given out must still be good when the page comes back with it, whatever
// has happened to the gateway meanwhile and whichever instance answers.
func TestNoncesOutliveReloadsAndRestarts(t *testing.T) {
	g := start(t, sdkEnvironment, plainSite)
	s := newSDK(g)
	s.nonce() // fetches five
	key, err := os.ReadFile(g.nonceKeyFile(environmentID))
	if err != nil || len(key) != 32 {
		t.Fatalf("the key has %d bytes, %v, want 32", len(key), err)
	}
	s.signedIn(g.external("alice"))

	if err := os.Remove(g.nonceKeyFile(environmentID)); err != nil {
		t.Fatal(err)
	}
	g.load(sdkEnvironment, plainSite+"\n\theader X-Config two") // which goes on with the key that it has
	s.signedIn(g.external("alice"))

	if err := os.WriteFile(g.nonceKeyFile(environmentID), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(sdkEnvironment, plainSite)
	s.signedIn(g.external("alice"))

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(g.nonceKeyFile(environmentID)); err != nil { // the control: it is the key that counts
		t.Fatal(err)
	}
	g.load(sdkEnvironment, plainSite)
	s.refuseSignIn(g.external("alice"), "device_signature_invalid")
	s.nonces = nil
	s.signedIn(g.external("alice"))
	g.wantKeyInNoLog(key)
}

func (g *running) wantKeyInNoLog(key []byte) {
	g.t.Helper()
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		g.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is": string(key), "in hexadecimal": hex.EncodeToString(key),
		"in base64": base64.RawStdEncoding.EncodeToString(key), "in base64url": base64.RawURLEncoding.EncodeToString(key),
	} {
		if strings.Contains(string(log), text) {
			g.t.Errorf("the log shows the key of the nonces %s", name)
		}
	}
}

// Whoever signs in with the signature of another device, or one that was seen before the
// gateway asked for it, has not shown that the key is theirs.
func TestSignInsWithAWrongDeviceSignature(t *testing.T) {
	g, first, second := twoTenants(t)
	first.lines, second.lines = "cors "+pageOrigin, "cors "+pageOrigin
	loadTenants(g, first, second)
	s, other := newSDK(g), newSDK(g)
	foreign := second.want(request{at: second.at, path: "/api/v0/sdk/" + second.id + "/nonces?count=1"}, 200, "").body["nonces"].([]any)[0].(string)
	for _, c := range []struct {
		name  string
		nonce string
		edit  func(h http.Header)
		good  bool
	}{
		{"nothing wrong with it", s.nonce(), func(http.Header) {}, true},
		{"none at all", s.nonce(), func(h http.Header) { clear(h) }, true},
		{"a nonce of another environment", foreign, func(http.Header) {}, false},
		{"a nonce of nobody's", strings.Repeat("0", len(foreign)), func(http.Header) {}, false},
		{"no nonce", "", func(http.Header) {}, false},
		{"a nonce that is a book", strings.Repeat("x", 8<<10), func(http.Header) {}, false},
		{"a nonce that was not signed", s.nonce(), func(h http.Header) { h.Set("X-Dynamic-Device-Nonce", s.nonce()) }, false},
		{"the key of another device", s.nonce(), func(h http.Header) { h.Set("X-Dynamic-Device-Publickey", other.publicKey()) }, false},
		{"a key that is none", s.nonce(), func(h http.Header) { h.Set("X-Dynamic-Device-Publickey", strings.Repeat("f", 66)) }, false},
		{"no signature", s.nonce(), func(h http.Header) { h.Del("X-Dynamic-Device-Signed-Nonce") }, false},
		{"a signature of zeros", s.nonce(), func(h http.Header) { h.Set("X-Dynamic-Device-Signed-Nonce", strings.Repeat("0", 128)) }, false},
		{"two nonces", s.nonce(), func(h http.Header) { h.Add("X-Dynamic-Device-Nonce", s.nonce()) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.signed(s.post("/externalAuth/signin", `{"jwt":"`+first.externalJWT("alice")+`"}`), c.nonce)
			c.edit(r.header)
			if c.good {
				s.secret(s.call(r, 200, "").body["minifiedJwt"].(string))
				return
			}
			if got := s.call(r, 422, "invalid_external_auth"); got.body["reason"] != "device_signature_invalid" {
				t.Errorf("refused because of %v, want device_signature_invalid", got.body["reason"])
			}
		})
	}
}

// A key that cannot be read is not replaced by another one that nobody asked for, and a
// gateway that could not recognise its nonces does not start.
func TestDamagedNonceKeyRefusesTheConfig(t *testing.T) {
	g := prepare(t)
	file := g.nonceKeyFile(environmentID)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := g.tryLoad(sdkEnvironment, plainSite)
	for _, want := range []string{"environment default: ", "byoa/nonces/" + environmentID + ".key", "damaged: delete it"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("error %v, want one that says %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "half") {
		t.Errorf("the error shows what is in the file: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	g.load(sdkEnvironment, plainSite)
	newSDK(g).signedIn(g.external("alice"))
}
