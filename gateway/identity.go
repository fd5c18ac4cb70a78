package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/google/uuid"
)

// identityNamespace separates the UUIDs made here from anybody else's (RFC 9562, section 5.5).
var identityNamespace = uuid.MustParse("7c1f4a52-5f0e-5c53-9d0e-3f1c8b0a6e11")

// UserID names the user that an issuer knows as externalID: a UUIDv5, the same
// on every instance and after any loss.
func UserID(environment, issuer, externalID string) string {
	return derivedID("user", environment, issuer, externalID)
}

// CredentialID names one way in which a user is known, such as format
// "externalUser" with the issuer and the external id as its identifier: a UUIDv5.
func CredentialID(environment, format string, identifier ...string) string {
	return derivedID(append([]string{"credential", environment, format}, identifier...)...)
}

func derivedID(parts ...string) string {
	return uuid.NewSHA1(identityNamespace, lengthPrefixed(parts)).String()
}

// originID is the ID of the session that an external JWT stands for when it comes
// with a request. It leaves the signature out: an ECDSA signature can be turned into
// a second valid one by anybody, which must not make a revoked token a new one.
func originID(environment, external string) string {
	signed := external
	if dot := strings.LastIndexByte(external, '.'); dot >= 0 {
		signed = external[:dot]
	}
	sum := sha256.Sum256(lengthPrefixed([]string{"session", environment, signed}))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80 // version 8: made from a hash of our choice
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// storeKey names a record in a [Store]: a hash, so that it has one length whatever
// the client put into it, over length-prefixed parts, so that no two lists of parts meet in one key.
func storeKey(kind string, parts ...string) string {
	sum := sha256.Sum256(lengthPrefixed(append([]string{kind}, parts...)))
	return kind + ":" + string(sum[:])
}

func lengthPrefixed(parts []string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}
