package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The SDK signs a nonce of the gateway's with a key of the device wherever a session begins or goes on.
const (
	deviceNonce     = "X-Dynamic-Device-Nonce"
	devicePublicKey = "X-Dynamic-Device-Publickey"
	deviceSignature = "X-Dynamic-Device-Signed-Nonce"
)

var deviceHeaders = []string{deviceNonce, devicePublicKey, deviceSignature}

func refuseDevices(t *testing.T, node platform) {
	front := startFront(t)
	g := startGateway(t, sdkMode{}.config(front.origin))
	w := startWire(t, g)
	a := node.app(t, front, w, false)
	a.open(t)
	a.signIn(t, g.issuer.token(t, nil))
	a.do(t, claims{"do": "refresh"})
	var handedOut []string
	for _, c := range w.calls(http.MethodGet, apiPath+"/nonces") {
		nonces, _ := (&answer{body: c.said}).field("nonces").([]any)
		handedOut = append(handedOut, texts(nonces)...)
	}
	for _, endpoint := range []string{"/externalAuth/signin", "/refresh"} {
		c := w.last(t, http.MethodPost, endpoint)
		if nonce := c.header.Get(deviceNonce); !slices.Contains(handedOut, nonce) {
			t.Errorf("%s: the nonce %q is none of %q, which the gateway handed out", endpoint, nonce, handedOut)
		}
		if !signedByDevice(t, c.header) {
			t.Errorf("%s: the signature does not fit the nonce and the key", endpoint)
		}
	}

	for name, change := range map[string]func(http.Header){
		"a signature with one digit changed": func(h http.Header) { h.Set(deviceSignature, otherDigit(h.Get(deviceSignature))) },
		"the key of another device":          func(h http.Header) { h.Set(devicePublicKey, newDevice(t)) },
		"a nonce that nobody handed out":     func(h http.Header) { h.Set(deviceNonce, otherDigit(h.Get(deviceNonce))) },
		"a nonce that is not there":          func(h http.Header) { h.Del(deviceNonce) },
		"a signature that is not there":      func(h http.Header) { h.Del(deviceSignature) },
		"a key that is not there":            func(h http.Header) { h.Del(devicePublicKey) },
	} {
		t.Run(name, func(t *testing.T) {
			corrupt := func(r *http.Request) {
				if r.Header.Get(deviceSignature) != "" {
					change(r.Header)
				}
			}
			for _, task := range []claims{{"do": "signIn", "jwt": g.issuer.token(t, nil)}, {"do": "refresh"}} {
				w.changing(corrupt)
				a.mustBeInvalid(t, task, "device_signature_invalid")
				w.changing(nil)
				a.do(t, task)
			}
		})
	}
}

// signedByDevice verifies as the SDK documents: ECDSA on P-256 over the SHA-256 of the
// nonce's text, r and s side by side, and the key as a compressed point, all in hex.
func signedByDevice(t *testing.T, h http.Header) bool {
	t.Helper()
	key, err := hex.DecodeString(h.Get(devicePublicKey))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := hex.DecodeString(h.Get(deviceSignature))
	if err != nil || len(signature) != 64 {
		t.Fatalf("the signature has %d bytes: %v", len(signature), err)
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), key)
	if x == nil {
		t.Fatal("the key is no compressed point of P-256")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(h.Get(deviceNonce)))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(public, hash[:], r, s)
}

// otherDigit changes one character in the middle.
func otherDigit(text string) string {
	at, digit := len(text)/2, "a"
	if strings.HasPrefix(text[at:], digit) {
		digit = "b"
	}
	return text[:at] + digit + text[at+1:]
}

// newDevice is the public key of a device that the SDK does not know.
func newDevice(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(append([]byte{2 | point[64]&1}, point[1:33]...))
}
