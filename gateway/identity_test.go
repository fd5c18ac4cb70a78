package gateway

import (
	"encoding/binary"
	"strings"
	"testing"
)

// counted is a part as it stands in what is hashed, so that a part which holds another
// one, length and all, can be made.
func counted(part string) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) + part
}

// Where the names of two records meet, whoever can choose a part of one of them, such as
// the jti of an assertion, their own name at the login system or the end of an issuer,
// uses up what is another's, or is taken for them. (Oathkeeper, CVE-2026-33496: what was
// asked with the one key was answered from the other's entry.) These are the names; that
// all parts which matter are given to them is for the tests of those who ask for them.
func TestRecordsOfTwoNeverMeetInOneKey(t *testing.T) {
	names := map[string]func(a, b string) string{
		"records":                func(a, b string) string { return storeKey("assertion", "environment", a, b) },
		"users":                  func(a, b string) string { return UserID("environment", a, b) },
		"users of environments":  func(a, b string) string { return UserID(a, b, "alice") },
		"credentials":            func(a, b string) string { return CredentialID("environment", "externalUser", a, b) },
		"formats of credentials": func(a, b string) string { return CredentialID("environment", a, b) },
		"sessions of JWTs":       func(a, b string) string { return originID(a, b+".signature") },
	}
	pairs := map[string][2][2]string{
		"a letter moves":             {{"a", "bc"}, {"ab", "c"}},
		"a path moves":               {{"https://login.example", "/x1"}, {"https://login.example/x", "1"}},
		"all of it moves":            {{"", "abc"}, {"abc", ""}},
		"they are swapped":           {{"a", "b"}, {"b", "a"}},
		"a NUL moves":                {{"a\x00b", "c"}, {"a", "b\x00c"}},
		"a separator moves":          {{"a:b", "c"}, {"a", "b:c"}},
		"a dot moves":                {{"a.b", "c"}, {"a", "b.c"}},
		"the length moves as well":   {{"a" + counted("b"), "c"}, {"a", counted("b") + "c"}},
		"one holds both, and length": {{"a" + counted("b"), ""}, {"a", "b"}},
		"another letter case":        {{"a", "b"}, {"A", "b"}},
		"a space behind":             {{"a", "b"}, {"a", "b "}},
	}
	for what, name := range names {
		for how, p := range pairs {
			if one, other := name(p[0][0], p[0][1]), name(p[1][0], p[1][1]); one == other {
				t.Errorf("%s: %s: %q and %q have one name", what, how, p[0], p[1])
			}
			if once, again := name(p[0][0], p[0][1]), name(p[0][0], p[0][1]); once != again {
				t.Errorf("%s: %q has two names, so nothing is found again", what, p[0])
			}
		}
	}
}

// The kinds have names of their own too: an elevated token that was used up is no
// assertion, and whose identity it is is no credential of theirs.
func TestRecordsOfTwoKindsNeverMeetInOneKey(t *testing.T) {
	seen := make(map[string]string)
	for what, key := range map[string]string{
		"an assertion":              storeKey("assertion", "environment", "issuer", "id"),
		"an elevated token":         storeKey("elevated", "environment", "issuer", "id"),
		"one with a part less":      storeKey("assertion", "environment", "issuer"),
		"one with an empty part":    storeKey("assertion", "environment", "issuer", ""),
		"one whose kind is longer":  storeKey("assertionenvironment", "issuer", "id"),
		"one with a part too many":  storeKey("assertion", "environment", "issuer", "id", ""),
		"one with two parts as one": storeKey("assertion", "environment", "issuerid"),
		"a user":                    UserID("environment", "issuer", "id"),
		"a credential":              CredentialID("environment", "issuer", "id"),
		"a user of that name":       UserID("environment", "credential", "issuer"),
		"the session of a JWT":      originID("environment", "issuer.id."),
	} {
		if other, met := seen[key]; met {
			t.Errorf("%s and %s have one name", what, other)
		}
		seen[key] = what
	}
}

// Whatever a client writes, the name of a record is of one length, and none of it can be read there.
func TestNoClientChoosesHowLongANameIs(t *testing.T) {
	short, long := storeKey("assertion", "e", "i", "j"), storeKey("assertion", "e", "i", strings.Repeat("secret", 10_000))
	if len(short) != len(long) || strings.Contains(long, "secret") {
		t.Errorf("%d bytes and %d, want as many, and nothing of what was given", len(short), len(long))
	}
}

// Both halves of an ECDSA signature serve: who turns one into the other has the same JWT,
// and with another claim another one.
func TestSessionOfAJWTIsNamedByWhatWasSigned(t *testing.T) {
	if originID("e", "header.payload.one") != originID("e", "header.payload.other") {
		t.Error("with another signature over the same it is another JWT: what was revoked is not")
	}
	if originID("e", "header.payload.one") == originID("e", "header.other.one") {
		t.Error("two JWTs start one session")
	}
}
