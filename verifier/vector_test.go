package verifier_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const vectorDir = "testdata/vectors"

// vectorNow is an arbitrary instant, on a full second.
var vectorNow = time.Unix(2_000_000_000, 0)

// ring makes the keys of all vectors, each once for all tests.
var ring = verifiertest.NewRing(process{})

// process is what keys belong to that outlive a test.
type process struct{ testing.TB }

func (process) Helper()                           {}
func (process) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// verdict runs a case and returns its code, or OK.
func verdict(t *testing.T, c verifiertest.Case) string {
	t.Helper()
	v, err := verifier.New(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	var checks []verifier.Check
	if c.Assertion {
		_, err = v.VerifyAssertion(t.Context(), c.Token, c.Subject)
		checks = v.CheckAssertion(t.Context(), c.Token, c.Subject)
	} else {
		_, err = v.Verify(t.Context(), c.Token)
		checks = v.Check(t.Context(), c.Token)
	}
	if first := firstFailed(checks); verifier.CodeOf(first) != verifier.CodeOf(err) {
		t.Errorf("Check says %v first, Verify says %v", first, err)
	}
	if err == nil {
		return verifiertest.OK
	}
	if verifier.CodeOf(err) == "" {
		t.Fatalf("error without a code: %v", err)
	}
	return string(verifier.CodeOf(err))
}

func firstFailed(checks []verifier.Check) error {
	for _, c := range checks {
		if c.Err != nil {
			return c.Err
		}
	}
	return nil
}

func TestVectors(t *testing.T) {
	for _, v := range verifiertest.ReadVectors(t, vectorDir) {
		t.Run(v.Name, func(t *testing.T) {
			if got := verdict(t, v.Make(t, ring, vectorNow)); got != v.Expect {
				t.Errorf("got %s, want %s: %s", got, v.Expect, v.Comment)
			}
		})
	}
}

func TestVectorsCoverEveryCode(t *testing.T) {
	var seen []string
	for _, v := range verifiertest.ReadVectors(t, vectorDir) {
		seen = append(seen, v.Expect)
	}
	for _, code := range tokenCodes {
		if !slices.Contains(seen, string(code)) {
			t.Errorf("no vector expects %s", code)
		}
	}
}

// tokenCodes are all codes but keys_unavailable, which is not about a token.
var tokenCodes = []verifier.Code{
	verifier.CodeTokenMalformed, verifier.CodeTokenTooLarge, verifier.CodeAlgorithmNotAllowed,
	verifier.CodeKeyNotFound, verifier.CodeSignatureInvalid, verifier.CodeIssuerMismatch,
	verifier.CodeAudienceMismatch, verifier.CodeSubjectMissing, verifier.CodeExpiryMissing,
	verifier.CodeExpired, verifier.CodeNotYetValid, verifier.CodeTypeMismatch,
	verifier.CodeSubjectMismatch, verifier.CodeScopeMissing, verifier.CodeJTIMissing,
	verifier.CodeLifetimeTooLong,
}
