package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// device is an SDK's key of a device.
type device struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

func newDevice(t testing.TB) device {
	t.Helper()
	return deviceOn(t, elliptic.P256())
}

func deviceOn(t testing.TB, curve elliptic.Curve) device {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return device{t, key}
}

// point is the public key: 4, x and y.
func (d device) point() []byte {
	d.t.Helper()
	point, err := d.key.PublicKey.Bytes()
	if err != nil {
		d.t.Fatal(err)
	}
	return point
}

// publicKey is the compressed point, which keeps of y whether it is odd.
func (d device) publicKey() string {
	point := d.point()
	size := len(point) / 2
	compressed := append([]byte{2 + point[2*size]&1}, point[1:1+size]...)
	return hex.EncodeToString(compressed)
}

// sign signs the text of a nonce.
func (d device) sign(nonce string) string {
	d.t.Helper()
	digest := sha256.Sum256([]byte(nonce))
	r, s, err := ecdsa.Sign(rand.Reader, d.key, digest[:])
	if err != nil {
		d.t.Fatal(err)
	}
	size := len(d.point()) / 2
	return hex.EncodeToString(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
}

// The headers of a device signature.
const (
	deviceNonce     = "X-Dynamic-Device-Nonce"
	deviceKey       = "X-Dynamic-Device-Publickey"
	deviceSignature = "X-Dynamic-Device-Signed-Nonce"
)

// headers are what the SDKs send with a nonce.
func (d device) headers(nonce string) http.Header {
	return http.Header{deviceNonce: {nonce}, deviceKey: {d.publicKey()}, deviceSignature: {d.sign(nonce)}}
}

// nonce fetches one.
func (s *site) nonce() string {
	s.t.Helper()
	a := s.do(call{method: http.MethodGet, path: "/nonce"})
	a.want(s.t, http.StatusOK, "", "")
	return a.body["nonce"].(string)
}

// signed are the endpoints that look at a device signature, each with what it would grant.
func (s *site) signed(token string) []call {
	return []call{
		{path: "/externalAuth/signin", body: `{"jwt":"` + s.external("alice") + `"}`},
		{path: "/externalAuth/verify", bearer: token, body: `{"jwt":"` + s.issuer.Assertion("alice", "wallet:export", nil) + `"}`},
		{path: "/refresh", bearer: token},
	}
}

// A device signature that is wrong in any one way is refused, and the request changes nothing.
func TestDeviceSignatureThatIsNone(t *testing.T) {
	var store watchedStore
	s := newSite(t, httpapi.Options{}, store.watched)
	token := s.signIn("alice")
	written, mine, other := store.writes.Load(), newDevice(t), newDevice(t)
	nonce := s.nonce()
	good := mine.headers(nonce)
	p384 := deviceOn(t, elliptic.P384())
	for name, change := range map[string]func(h http.Header){
		"no nonce":                       func(h http.Header) { h.Del(deviceNonce) },
		"no key":                         func(h http.Header) { h.Del(deviceKey) },
		"no signature":                   func(h http.Header) { h.Del(deviceSignature) },
		"a nonce alone":                  func(h http.Header) { h.Del(deviceKey); h.Del(deviceSignature) },
		"an empty nonce":                 func(h http.Header) { h.Set(deviceNonce, "") },
		"an empty key":                   func(h http.Header) { h.Set(deviceKey, "") },
		"an empty signature":             func(h http.Header) { h.Set(deviceSignature, "") },
		"all three empty":                func(h http.Header) { h.Set(deviceNonce, ""); h.Set(deviceKey, ""); h.Set(deviceSignature, "") },
		"two nonces":                     func(h http.Header) { h.Add(deviceNonce, nonce) },
		"two keys":                       func(h http.Header) { h.Add(deviceKey, mine.publicKey()) },
		"two signatures":                 func(h http.Header) { h.Add(deviceSignature, h.Get(deviceSignature)) },
		"two of them in one line":        func(h http.Header) { h.Set(deviceNonce, nonce+", "+nonce) },
		"another device's key":           func(h http.Header) { h.Set(deviceKey, other.publicKey()) },
		"another device's signature":     func(h http.Header) { h.Set(deviceSignature, other.sign(nonce)) },
		"a signature over another nonce": func(h http.Header) { h.Set(deviceSignature, mine.sign(s.nonce())) },
		"another nonce than signed":      func(h http.Header) { h.Set(deviceNonce, s.nonce()) },
		"a signature of zeros":           func(h http.Header) { h.Set(deviceSignature, strings.Repeat("0", 128)) },
		"a signature of ones":            func(h http.Header) { h.Set(deviceSignature, strings.Repeat("f", 128)) },
		"a signature cut short":          func(h http.Header) { h.Set(deviceSignature, h.Get(deviceSignature)[:126]) },
		"a signature with more":          func(h http.Header) { h.Set(deviceSignature, h.Get(deviceSignature)+"00") },
		"a signature in other digits":    func(h http.Header) { h.Set(deviceSignature, strings.Repeat("g", 128)) },
		"the other point with that x":    func(h http.Header) { h.Set(deviceKey, flipped(h.Get(deviceKey))) },
		"a key in the uncompressed form": func(h http.Header) { h.Set(deviceKey, hex.EncodeToString(mine.point())) },
		"an uncompressed key's first 33": func(h http.Header) { h.Set(deviceKey, hex.EncodeToString(mine.point()[:33])) },
		"the point at infinity":          func(h http.Header) { h.Set(deviceKey, strings.Repeat("0", 66)) },
		"a point on no curve":            func(h http.Header) { h.Set(deviceKey, "02"+strings.Repeat("f", 64)) },
		"a key of P-384":                 func(h http.Header) { by(h, p384.headers(nonce)) },
		"spaces within the key":          func(h http.Header) { h.Set(deviceKey, h.Get(deviceKey)[:65]+" ") },
		"very much":                      func(h http.Header) { h.Set(deviceNonce, strings.Repeat("a", 100<<10)) },
	} {
		for _, c := range s.signed(token) {
			t.Run(c.path+" "+name, func(t *testing.T) {
				c.header = good.Clone()
				change(c.header)
				a := s.do(c)
				a.want(t, http.StatusUnprocessableEntity, "invalid_external_auth", gateway.CodeDeviceSignatureInvalid)
				if a.header.Get("WWW-Authenticate") != "" || strings.Contains(a.raw, nonce) {
					t.Errorf("a challenge, or the nonce, in the answer: %v %s", a.header, a.raw)
				}
			})
		}
	}
	if n := store.writes.Load() - written; n != 0 {
		t.Errorf("%d things were stored", n)
	}
	// The control: nothing was spent, and these same headers are good.
	for _, c := range s.signed(token) {
		c.header = good
		s.do(c).want(t, http.StatusOK, "", "")
	}
}

// flipped is the compressed point on the other side of the x axis.
func flipped(key string) string {
	if key[1] == '2' {
		return "03" + key[2:]
	}
	return "02" + key[2:]
}

// by has h signed by another device.
func by(h, with http.Header) {
	h[deviceKey], h[deviceSignature] = with[deviceKey], with[deviceSignature]
}

// Not every client has a device key. What is signed in capitals is signed.
func TestDeviceSignatureIsOptional(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for _, c := range s.signed(token) {
		s.do(c).want(t, http.StatusOK, "", "")
	}
	h := newDevice(t).headers(s.nonce())
	h.Set(deviceKey, strings.ToUpper(h.Get(deviceKey)))
	h.Set(deviceSignature, strings.ToUpper(h.Get(deviceSignature)))
	s.do(call{path: "/refresh", bearer: token, header: h}).want(t, http.StatusOK, "", "")
}

// Who ends a session, asks, or reads what everybody may, needs no device: the headers are not looked at.
func TestDeviceSignatureElsewhere(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	wrong := http.Header{deviceNonce: {"made up"}}
	for path, method := range methods {
		if slices.ContainsFunc(s.signed(token), func(c call) bool { return c.path == path }) || path == "/revoke" {
			continue
		}
		a := s.do(call{path: path, method: method, bearer: token, header: wrong, body: `{"scope":"x"}`})
		if a.status >= http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	s.do(call{path: "/revoke", bearer: token, header: wrong}).want(t, http.StatusNoContent, "", "")
}

// verifications counts how often a token was verified.
type verifications struct{ n atomic.Int32 }

func (v *verifications) Observe(_ context.Context, e gateway.Event) {
	if e.Kind == gateway.EventVerify {
		v.n.Add(1)
	}
}

// Whoever is refused for the device signature has cost no verification of a token.
func TestDeviceSignatureComesFirst(t *testing.T) {
	var seen verifications
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Observer = &seen })
	token := s.signIn("alice")
	before := seen.n.Load()
	for _, c := range s.signed(token) {
		c.header = http.Header{deviceNonce: {"made up"}}
		s.do(c).want(t, http.StatusUnprocessableEntity, "invalid_external_auth", gateway.CodeDeviceSignatureInvalid)
	}
	if n := seen.n.Load() - before; n != 0 {
		t.Errorf("%d tokens were verified", n)
	}
	s.do(s.signed(token)[0]).want(t, http.StatusOK, "", "")
	if seen.n.Load() == before {
		t.Error("this test looks at nothing")
	}
}
