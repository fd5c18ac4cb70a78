// Package secrecy finds out, for tests, where a token is that should not be there.
//
// A test harness gives a [Recorder] whatever carries secrets, and whatever must not: it
// finds the secrets in the former by their form, so that no test has to name its tokens,
// and looks for them in the latter when all is over, so that it does not matter which of both came first.
package secrecy

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
)

// A run is a piece of a secret that is long enough to stand in no text by chance. One is
// taken at every stride, so that any run+stride-1 letters of a secret in a row are found:
// a token that was cut short for a log is a token in a log.
const (
	run    = 12
	stride = 4
)

// A Recorder knows secrets and the texts that must be free of them. Its zero value knows
// nothing. It may be used by many goroutines.
type Recorder struct {
	mu      sync.Mutex
	runs    map[string]string // of secrets: where the secret was first seen
	watched []text
	seen    map[text]bool
}

type text struct{ place, content string }

// Tokens are the JWTs that stand in a text: compact JWS (RFC 7515, section 7.1). What is before
// the first member of the header may be white space, so not every one begins with "eyJ". The last
// part may be empty. A text of a megabyte takes no time to speak of, as it would with a regular expression.
func Tokens(content string) (tokens []string) {
	for word := range strings.FieldsFuncSeq(content, func(c rune) bool { return !inToken(c) }) {
		for two := true; two; {
			head, afterHead, _ := strings.Cut(word, ".")
			var body, afterBody string
			if body, afterBody, two = strings.Cut(afterHead, "."); !two || len(head) < shortestHeader || body == "" {
				word = afterHead
				continue
			}
			signature, rest, _ := strings.Cut(afterBody, ".")
			if isHeader(head) {
				tokens = append(tokens, word[:len(head)+len(".")+len(body)+len(".")+len(signature)])
			}
			word = rest
		}
	}
	return tokens
}

const shortestHeader = 8

// inToken is whether c may stand in a compact JWS.
func inToken(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

func isHeader(part string) bool {
	header, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(header)), "{")
}

// Learn takes the tokens that stand in a text for secrets. Where says where the text was seen.
func (r *Recorder) Learn(where, content string) {
	for _, token := range Tokens(content) {
		r.Add(where, token)
	}
}

// Add takes a value for a secret, as it is. What of it is no letter of any base64 or hex separates
// its parts; parts shorter than a dozen letters are none.
func (r *Recorder) Add(where, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = make(map[string]string)
	}
	for part := range strings.FieldsFuncSeq(secret, func(c rune) bool { return !letter(c) }) {
		for at := 0; at+run <= len(part); at += stride {
			if _, known := r.runs[part[at:at+run]]; !known {
				r.runs[part[at:at+run]] = where
			}
		}
	}
}

// letter is whether c may stand in base64, base64url or hex.
func letter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_+/=", c)
}

// Watch keeps a text in which no secret may be, whenever it is learned.
func (r *Recorder) Watch(place, content string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := text{place, content}
	if r.seen[t] {
		return
	}
	if r.seen == nil {
		r.seen = make(map[text]bool)
	}
	r.seen[t] = true
	r.watched = append(r.watched, t)
}

// A Leak is a secret at a place where none may be.
type Leak struct {
	Place  string
	Source string // where the secret was first seen
	Around string // what is before it, and its first letters
}

func (l Leak) String() string {
	return fmt.Sprintf("%s holds a part of what was first seen in %s: …%s", l.Place, l.Source, l.Around)
}

// Leaks are the secrets in all that was watched since the last call, at most one of each
// source in each text.
func (r *Recorder) Leaks() (leaks []Leak) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.watched {
		leaks = append(leaks, r.in(t)...)
	}
	r.watched = nil
	clear(r.seen)
	return leaks
}

// In returns the secrets that stand in one text now.
func (r *Recorder) In(place, content string) []Leak {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.in(text{place, content})
}

// in needs the lock.
func (r *Recorder) in(t text) (leaks []Leak) {
	found := make(map[string]bool)
	for at, letters := 0, 0; at < len(t.content); at++ {
		if !letter(rune(t.content[at])) {
			letters = 0
			continue
		}
		if letters++; letters < run {
			continue
		}
		begin := at + 1 - run
		if source, secret := r.runs[t.content[begin:at+1]]; secret && !found[source] {
			found[source] = true
			leaks = append(leaks, Leak{t.place, source, around(t.content, begin)})
		}
	}
	return leaks
}

// around shows enough to find the place, and too little to use the secret.
func around(content string, at int) string {
	const before, of = 200, 8
	return content[max(0, at-before):at] + "[" + content[at:at+of] + "…]"
}
