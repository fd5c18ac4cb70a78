package httpapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// The headers in which an SDK that keeps its session in a header shows that it has the
// key of its device: a nonce, and a signature over it.
const (
	deviceNonceHeader     = "X-Dynamic-Device-Nonce"
	deviceKeyHeader       = "X-Dynamic-Device-Publickey"    // a compressed point of P-256 (SEC 1, section 2.3.3), in hexadecimal
	deviceSignatureHeader = "X-Dynamic-Device-Signed-Nonce" // r and s, 32 bytes each, in hexadecimal
)

// Sizes of what a P-256 key and signature are made of, in bytes.
const (
	coordinateSize    = 32
	compressedSize    = 1 + coordinateSize
	uncompressedSize  = 1 + 2*coordinateSize
	rawSignatureSize  = 2 * coordinateSize
	uncompressedPoint = 4 // what an uncompressed point begins with (SEC 1, section 2.3.3)
)

// deviceChecked refuses a request whose device signature is wrong before next sees it.
// One without a device signature passes: not every client has a key, and nothing that
// is granted depends on it.
func (a *API) deviceChecked(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := a.checkDevice(r.Header); err != nil {
			a.refuseExternal(w, r, &gateway.Refusal{
				Code: gateway.CodeDeviceSignatureInvalid,
				Err:  fmt.Errorf("checking the device signature: %w", err),
			})
			return
		}
		next(w, r)
	}
}

// checkDevice looks at the nonce first: it costs a hash, and only whoever has fetched a
// fresh one makes us verify a signature.
func (a *API) checkDevice(h http.Header) error {
	nonce, key, signature := h.Values(deviceNonceHeader), h.Values(deviceKeyHeader), h.Values(deviceSignatureHeader)
	if len(nonce)+len(key)+len(signature) == 0 {
		return nil
	}
	if len(nonce) != 1 || len(key) != 1 || len(signature) != 1 {
		return fmt.Errorf("the headers %s, %s and %s come all three, and once each", deviceNonceHeader, deviceKeyHeader, deviceSignatureHeader)
	}
	if err := a.nonces.check(nonce[0]); err != nil {
		return err
	}
	public, err := deviceKey(key[0])
	if err != nil {
		return err
	}
	return checkSignature(public, nonce[0], signature[0])
}

// deviceKey reads a compressed public key.
func deviceKey(text string) (*ecdsa.PublicKey, error) {
	compressed, err := decodeHex(text, compressedSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", deviceKeyHeader, err)
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), compressed)
	if x == nil {
		return nil, fmt.Errorf("%s is no compressed point of P-256", deviceKeyHeader)
	}
	point := make([]byte, uncompressedSize) // the one form that crypto/ecdsa reads
	point[0] = uncompressedPoint
	x.FillBytes(point[1:compressedSize])
	y.FillBytes(point[compressedSize:])
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// checkSignature verifies a signature over the text of a nonce.
func checkSignature(public *ecdsa.PublicKey, nonce, text string) error {
	raw, err := decodeHex(text, rawSignatureSize)
	if err != nil {
		return fmt.Errorf("%s: %w", deviceSignatureHeader, err)
	}
	r, s := new(big.Int).SetBytes(raw[:coordinateSize]), new(big.Int).SetBytes(raw[coordinateSize:])
	if digest := sha256.Sum256([]byte(nonce)); !ecdsa.Verify(public, digest[:], r, s) {
		return errors.New("the signature over the nonce does not verify")
	}
	return nil
}

// decodeHex reads exactly size bytes.
func decodeHex(text string, size int) ([]byte, error) {
	if len(text) != 2*size {
		return nil, fmt.Errorf("want %d hexadecimal digits", 2*size)
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("want %d hexadecimal digits, and one is none", 2*size) // without what stands there instead
	}
	return b, nil
}
