package caddymodule

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// withoutTokens leaves tokens out of what a client has chosen freely: a client that gets
// "?" or "&" wrong writes its token into the path.
//
// A token is known by what it is and not by the letters that it mostly begins with (RFC 7515
// section 3.1): parts in base64url with dots between them, of which one, but not the last,
// is a JSON object, whatever white space stands in it, broken into lines or not. Percent-encoding
// hides none: where a token only shows after all of s was decoded several times, nothing of
// s is left. What stands in one word with a token goes with it.
//
// It takes time in proportion to s, whatever is in it: nobody has been asked for a token yet.
func withoutTokens(s string) string {
	if !strings.ContainsAny(s, ".%") {
		return s
	}
	s, _ = withoutPlainTokens(s)
	deeper := s
	for range decodingDepth {
		if !holdsEscape(deeper) {
			return s
		}
		deeper = unescapeLeniently(deeper)
		if _, found := withoutPlainTokens(deeper); found {
			return "…"
		}
	}
	if holdsEscape(deeper) {
		return "…" // nobody encodes this often in good faith
	}
	return s
}

// withoutPlainTokens leaves out those whose letters are encoded one by one, if at all, and says
// whether there are any.
func withoutPlainTokens(s string) (kept string, found bool) {
	plain := percentDecoded(s)
	var b strings.Builder
	copied, i, n := 0, 0, 0 // of s; of s and of plain, where the same character begins
	inText := func(offset int) int {
		for ; n < offset; n++ {
			i += charAt(s, i).width
		}
		return i
	}
	for start := 0; start < len(plain); start++ {
		end := start
		for end < len(plain) && inWord(plain, end) {
			end++
		}
		if isToken(plain[start:end]) {
			b.WriteString(s[copied:inText(start)])
			b.WriteString("…")
			copied = inText(end)
		}
		start = end
	}
	if copied == 0 {
		return s, false
	}
	b.WriteString(s[copied:])
	return b.String(), true
}

// percentDecoded is s as [charAt] reads it.
func percentDecoded(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	plain := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		ch := charAt(s, i)
		plain = append(plain, ch.c)
		i += ch.width
	}
	return string(plain)
}

// inWord says whether a token could go on at i, be it one that somebody has padded or broken into lines.
func inWord(s string, i int) bool {
	c := s[i]
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '\r' || c == '\n' ||
		c == '=' && (strings.HasPrefix(s[i:], "=.") || strings.HasPrefix(s[i:], "==."))
}

// isToken says whether a part of the word before a dot is a JSON object.
func isToken(word string) bool {
	for part, rest, found := strings.Cut(word, "."); found; part, rest, found = strings.Cut(rest, ".") {
		if holdsObject(strings.TrimRight(part, "=")) {
			return true
		}
	}
	return false
}

// holdsObject says whether part is, from its beginning on or to its end, a JSON object in
// base64url. To its end, because a word may stand before the token without anything between
// that is none of base64url: then the object begins in one of four ways to count by fours.
func holdsObject(part string) bool {
	const shortest, white = len("e30"), " \t\r\n"
	for start := 0; start < 4 && len(part)-start >= shortest; start++ {
		text, _ := base64.RawURLEncoding.DecodeString(part[start:]) // as far as it goes
		if start == 0 && beginsObject(bytes.TrimLeft(text, white)) {
			return true
		}
		if !bytes.HasSuffix(bytes.TrimRight(text, white), []byte("}")) {
			continue
		}
		for i := bytes.IndexByte(text, '{'); i >= 0; i = bytes.IndexByte(text, '{') {
			if beginsObject(text[i:]) {
				return true
			}
			text = text[i+1:]
		}
	}
	return false
}

// beginsObject says whether text begins as a JSON object does, an empty one included.
func beginsObject(text []byte) bool {
	inside, ok := bytes.CutPrefix(text, []byte("{"))
	inside = bytes.TrimLeft(inside, " \t\r\n")
	return ok && len(inside) > 0 && (inside[0] == '"' || inside[0] == '}')
}
