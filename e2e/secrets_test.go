package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/secrecy"
)

// secrets are the tokens that a test handed out, sent or received, and the private keys of
// the gateways that it ran. The upstream and the answers of [handingOut] are the only places for
// tokens. All others are kept as they come, and searched when a gateway of the test has ended.
type secrets struct {
	secrecy.Recorder
	mu        sync.Mutex
	tolerated []string
}

func newSecrets() *secrets { return new(secrets) }

// learn remembers all tokens in a text, also those that are written as in a URL.
func (s *secrets) learn(where, text string) {
	s.Learn(where, text)
	if plain, err := url.QueryUnescape(text); err == nil && plain != text {
		s.Learn(where, plain)
	}
}

// credentialHeaders carry what is secret whatever it looks like.
var credentialHeaders = []string{"authorization", "x-dyn-elevated-access-token", "x-step-up-assertion", "x-mfa-auth-token"}

// learnRequest remembers what a request carries.
func (s *secrets) learnRequest(r request) {
	for _, line := range r.lines {
		s.learn("a request's "+line[0], line[1])
		if slices.Contains(credentialHeaders, foldHeader(line[0])) {
			s.Add("a request's "+line[0], line[1])
		}
	}
	s.learn("a request's path", r.path)
	s.learn("a request's body", r.body)
}

// handingOut are the endpoints whose purpose it is to answer with tokens.
var handingOut = []string{"/externalAuth/signin", "/externalAuth/verify", "/refresh"}

// judge learns the tokens of an answer where they belong, and else keeps it to be searched:
// whatever its status is, and redirects and cookies with the rest of its header.
func (s *secrets) judge(path string, a *answer) {
	path, _, _ = strings.Cut(path, "?")
	place := fmt.Sprintf("the answer %d to %s", a.status, path)
	head := written(a.header)
	if a.status < http.StatusMultipleChoices && slices.ContainsFunc(handingOut, func(end string) bool { return strings.HasSuffix(path, end) }) {
		s.learn(place, head+a.body)
		return
	}
	s.Watch("the header of "+place, head)
	s.Watch("the body of "+place, a.body)
}

// tolerate names the places that a test wants to hold tokens, by how they begin. It
// replaces what was named before.
func (s *secrets) tolerate(places ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tolerated = places
}

// report fails the test for every secret in what was kept since the last report.
func (s *secrets) report(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, leak := range s.Leaks() {
		if !slices.ContainsFunc(s.tolerated, func(place string) bool { return strings.HasPrefix(leak.Place, place) }) {
			t.Error(leak)
		}
	}
}

// in returns the secrets that stand in a text.
func (s *secrets) in(text string) []secrecy.Leak { return s.In("the text", text) }

// mustNotBeIn fails the test for each secret that stands in a text.
func (s *secrets) mustNotBeIn(t testing.TB, what, text string) {
	t.Helper()
	for _, leak := range s.In(what, text) {
		t.Error(leak)
	}
}

// firstToken is the first JWT in a text, or nothing.
func firstToken(text string) string {
	token, _, _ := strings.Cut(strings.Join(secrecy.Tokens(text), " "), " ")
	return token
}

// namesIn are the values of a member of the objects in a JSON array.
func namesIn(array, member string) (names []string) {
	var list []claims
	_ = json.Unmarshal([]byte(array), &list)
	for _, object := range list {
		if name, ok := object[member].(string); ok {
			names = append(names, name)
		}
	}
	return names
}
