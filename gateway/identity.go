package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/google/uuid"
)

// identityNamespace separates the UUIDs made here from anybody else's (RFC 9562, section 5.5).
var identityNamespace = uuid.MustParse("7c1f4a52-5f0e-5c53-9d0e-3f1c8b0a6e11")

// userVersion is the version of every user's ID: a UUID that is made from a name (RFC
// 9562, section 5.5). A user with several identities has the ID of the one that was not
// linked, so it stays of this version, and an ID of any other version is no user's.
const userVersion = 5

// UserID names the identity of whom an issuer knows as externalID, and the user that it
// makes by itself: a UUIDv5, the same on every instance and after any loss. An identity
// that was linked signs another user in, whom the directory alone knows: see
// [Directory.Owner].
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

// originVersion is the version of those UUIDs that are made from a hash of our choice (RFC 9562, section 5.8).
const originVersion = 8

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
	id[6] = id[6]&0x0f | originVersion<<4
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// newSessionID names a session that is started with an external JWT: by the ID of what
// the JWT itself stands for, and a random one. So whoever knows no more of a session
// than its ID can end what it came from, and nobody has to keep a list.
func newSessionID(origin string) string { return origin + "." + uuid.NewString() }

// originOf is the ID of the session that the external JWT behind a session stands for.
func originOf(sid string) string {
	origin, _, _ := strings.Cut(sid, ".")
	return origin
}

// parseSessionID returns the origin of a session ID, if it is one that is made here.
func parseSessionID(sid string) (origin string, ok bool) {
	origin, random, started := strings.Cut(sid, ".")
	if started && !isUUID(random) || !isUUID(origin) {
		return "", false
	}
	return origin, uuid.MustParse(origin).Version() == originVersion
}

// isUserID says whether s may be what [UserID] has made: the ID of a user, or of an
// identity that has joined one. A session's ID never is, nor is its origin.
func isUserID(s string) bool {
	return isUUID(s) && uuid.MustParse(s).Version() == userVersion
}

// isUUID says whether s is a UUID as they are written here: lower case, with hyphens, and nothing around it.
func isUUID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
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
