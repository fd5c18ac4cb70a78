package caddymodule

import (
	"net/textproto"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// withoutCookies is a Cookie line without the cookies that carry tokens; the
// others stay byte for byte. It also parts at commas, with which several lines are joined
// into one. Of a line in which one of them hides, as [httpapi.CheckCookies] refuses it, nothing stays.
func (n *hiddenNames) withoutCookies(line string) string {
	if n.hideIn(line) {
		return ""
	}
	var kept strings.Builder
	empty := true
	for start := 0; start <= len(line); {
		end := start + indexAny(line[start:], ";,")
		pair := line[start:end]
		switch {
		case n.isCookie(pair):
		case start == 0:
			kept.WriteString(pair)
			empty = false
		case empty:
			kept.WriteString(strings.TrimLeft(pair, " \t"))
			empty = false
		default:
			kept.WriteString(line[start-1 : end])
		}
		start = end + 1
	}
	return kept.String()
}

// hideIn is whether a lenient parser could find one of the cookies in a line where a strict one finds none.
func (n *hiddenNames) hideIn(line string) bool {
	folded := strings.ToLower(line)
	for name := range n.cookies {
		if httpapi.CookieHides(folded, name, ";,") {
			return true
		}
	}
	return false
}

// isCookie is whether a pair of a Cookie line has one of the names, read as net/http reads it.
func (n *hiddenNames) isCookie(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	return n.cookies[lowerName(textproto.TrimString(name))]
}

// setsCookie is whether a Set-Cookie line sets a cookie that carries a token.
func (n *hiddenNames) setsCookie(line string) bool {
	for part := range strings.SplitSeq(line, ",") {
		if n.isCookie(part) {
			return true
		}
	}
	return false
}

// withoutQuery is text without the query parameters that carry tokens, wherever in
// it a URL or a query stands: in the URI of a request, in a Referer or Location, in an error. It
// also finds them in a URL that is itself a parameter of another, percent-encoded.
func (n *hiddenNames) withoutQuery(text string) string {
	if !n.mayHoldQuery(text) {
		return text
	}
	var kept []byte
	var separator char // before start; there is none at the start of the text
	copied := 0        // how much of the text is in kept or deleted
	for start := 0; ; {
		if end, ok := n.parameter(text, start, separator.depth); ok {
			kept = append(kept, text[copied:start]...)
			if next := charAt(text, end); next.c == '&' && next.depth == separator.depth {
				end += next.width
				start, copied = end, end
				continue
			}
			kept = kept[:len(kept)-separator.width]
			start, copied = end, end
		}
		var ok bool
		if start, separator, ok = nextSeparator(text, start); !ok {
			break
		}
	}
	if copied == 0 {
		return text
	}
	return string(append(kept, text[copied:]...))
}

// mayHoldQuery is false for most texts: a parameter needs an equals sign, encoded or not.
func (n *hiddenNames) mayHoldQuery(text string) bool {
	return len(n.query) > 0 && (strings.IndexByte(text, '=') >= 0 || strings.IndexByte(text, '%') >= 0)
}

// parameter is where the parameter ends that begins at start, if it is a hidden one.
// Its name may be percent-encoded in part or whole: the server decodes it too.
func (n *hiddenNames) parameter(text string, start, depth int) (end int, ok bool) {
	var stack [64]byte
	name := stack[:0]
	for i := start; i < len(text) && len(name) <= n.longestQuery; {
		ch := charAt(text, i)
		i += ch.width
		if ch.c == '=' {
			return endOfValue(text, i, max(depth, ch.depth)), n.query[string(name)]
		}
		name = append(name, lowerASCII(ch.c))
	}
	return 0, false
}

// endOfValue is where a value ends that begins at start. What is encoded deeper than
// the parameter itself is part of its value.
func endOfValue(text string, start, depth int) int {
	i := start
	for i < len(text) && strings.IndexByte(`"'\`, text[i]) >= 0 {
		i++ // key="value"
	}
	for i < len(text) {
		ch := charAt(text, i)
		if ch.depth <= depth && (ch.c <= ' ' || strings.IndexByte("&#\"'<>`\\\x7f", ch.c) >= 0) {
			break
		}
		i += ch.width
	}
	return i
}

// nextSeparator finds the next character after which a parameter may begin, and the place behind it.
func nextSeparator(text string, from int) (start int, separator char, ok bool) {
	for i := from; i < len(text); {
		ch := charAt(text, i)
		i += ch.width
		if strings.IndexByte("?&;#", ch.c) >= 0 {
			return i, ch, true
		}
	}
	return 0, char{}, false
}

// char is a character of a text that may be percent-encoded, more than once.
type char struct {
	c     byte
	width int // how many bytes of the text it takes
	depth int // how many times it is encoded
}

// charAt is the character at i; the zero char at the end of the text.
func charAt(text string, i int) char {
	if i >= len(text) {
		return char{}
	}
	ch := char{c: text[i], width: 1}
	for ch.c == '%' && i+ch.width+1 < len(text) {
		high, low := unhex(text[i+ch.width]), unhex(text[i+ch.width+1])
		if high < 0 || low < 0 {
			break
		}
		ch = char{c: byte(high<<4 | low), width: ch.width + 2, depth: ch.depth + 1} //nolint:gosec // two hex digits are a byte
	}
	return ch
}

func unhex(c byte) int {
	return strings.IndexByte("0123456789abcdef", lowerASCII(c))
}

// lowerASCII is a letter of ASCII in lower case.
func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// lowerName leaves all but ASCII as it is, like the bytes of a percent-encoded name.
func lowerName(name string) string {
	lowered := []byte(name)
	for i, c := range lowered {
		lowered[i] = lowerASCII(c)
	}
	return string(lowered)
}

// indexAny is strings.IndexAny with the length of s for "nowhere".
func indexAny(s, chars string) int {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return i
	}
	return len(s)
}
