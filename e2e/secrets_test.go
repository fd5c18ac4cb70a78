package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// compactJWS finds tokens wherever they stand: a JSON object in base64url begins with "eyJ".
var compactJWS = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// minPart is the length from which a piece of text is unlikely to be in a log by chance.
const minPart = 12

// secrets are the parts of every token that a test handed out, sent or received.
// None may be found in a log or in the body of an error.
type secrets struct {
	mu    sync.Mutex
	parts map[string]string // part: where it was first seen
}

func newSecrets() *secrets { return &secrets{parts: make(map[string]string)} }

// learn remembers the parts of all tokens in a text.
func (s *secrets) learn(where, text string) {
	for _, token := range compactJWS.FindAllString(text, -1) {
		s.add(where, strings.Split(token, ".")...)
	}
}

// add remembers parts as they are.
func (s *secrets) add(where string, parts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		if _, known := s.parts[p]; !known && len(p) >= minPart {
			s.parts[p] = where
		}
	}
}

// in returns, for each part that stands in text, where it was first seen and what is before it.
func (s *secrets) in(text string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for part, where := range s.parts {
		if at := strings.Index(text, part); at >= 0 {
			found = append(found, fmt.Sprintf("a part of the token first seen in %s: …%s", where, around(text, at, len(part))))
		}
	}
	return found
}

// mustNotBeIn fails the test for each part that stands in text.
func (s *secrets) mustNotBeIn(t testing.TB, what, text string) {
	t.Helper()
	for _, found := range s.in(text) {
		t.Errorf("%s holds %s", what, found)
	}
}

// around is what stands before a part that was found, and the part's first letters.
func around(text string, at, length int) string {
	const before = 200
	return text[max(0, at-before):at] + "[" + text[at:at+min(8, length)] + "…]"
}
