package caddymodule

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// A pathClass is a set of ways in which an upstream may read a path differently
// from the gateway, and so serve another route than the one that was decided on.
type pathClass uint8

const (
	encodedSlash   pathClass = 1 << iota // %2F: one segment here, two there
	doubleEncoding                       // %252F: what a second round of decoding makes something else of
	dotSegment                           // . and .., in any encoding, with whatever some server ignores around them
	emptySegment                         // //: one slash to some, an empty name to others
	semicolon                            // /a;b: a parameter to some, a part of the name to others
	backslash                            // a slash to Windows, and to everybody who wants to be nice to it
	trailingDot                          // /a. and "/a ": the same file as /a on Windows
)

// pathClassNames are the classes as the config spells them, in the order of their bits.
var pathClassNames = [...]string{
	"encoded_slash", "double_encoding", "dot_segment", "empty_segment", "semicolon", "backslash", "trailing_dot",
}

// Whatever is wrong with a path beyond the classes, no upstream has a use for, so nothing lifts it.
const (
	pathIsControl  = "control_character"
	pathIsNotUTF8  = "invalid_utf8"
	pathIsBroken   = "invalid_encoding"
	pathIsRelative = "relative_path"
)

// decodingDepth is how often a path is decoded where double_encoding is allowed.
const decodingDepth = 4

// parsePathClasses reads the names of classes that are to be let through.
func parsePathClasses(names []string) (pathClass, error) {
	var set pathClass
	for _, name := range names {
		bit := slices.Index(pathClassNames[:], name)
		if bit < 0 {
			return 0, fmt.Errorf("unknown class of paths %q; known: %s", name, strings.Join(pathClassNames[:], ", "))
		}
		set |= 1 << bit
	}
	return set, nil
}

// String names the first class of the set.
func (c pathClass) String() string {
	for bit, name := range pathClassNames {
		if c&(1<<bit) != 0 {
			return name
		}
	}
	return ""
}

// checkPath refuses a path that an upstream may read differently from the gateway,
// unless every class that it belongs to is allowed. It judges the path as it would be
// sent on, and as it came where that differs. The query is not part of it.
func checkPath(u *url.URL, allowed pathClass) error {
	if why := ambiguity(u, allowed); why != "" {
		return &gateway.Refusal{
			Code: gateway.CodeAmbiguousPath,
			Err:  fmt.Errorf("the path can be read in more than one way (%s)", why),
		}
	}
	return nil
}

// ambiguity names what is ambiguous about the path of u beyond what is allowed; "" is nothing.
//
// An empty path is the root (RFC 9110 section 4.2.3), and "*" is what it is (RFC 9112
// section 3.2.4): neither can be mistaken for a route.
func ambiguity(u *url.URL, allowed pathClass) string {
	sent := u.EscapedPath()
	if u.Opaque != "" || sent != "" && sent != "*" && sent[0] != '/' {
		// The request line "GET x:admin" is forwarded as "GET admin".
		return pathIsRelative
	}
	if why := judgePath(sent, allowed); why != "" {
		return why
	}
	if u.RawPath != "" && u.RawPath != sent {
		return judgePath(u.RawPath, allowed)
	}
	return ""
}

// judgePath looks at an encoded path, and at what one round of decoding makes of it.
// Only where double_encoding is allowed it decodes further, a few times: what is
// never lifted, and the classes that another round brings out, count there too.
func judgePath(encoded string, allowed pathClass) string {
	decoded, err := url.PathUnescape(encoded)
	if err != nil {
		return pathIsBroken
	}
	found := classesOfEncoding(encoded) | classesOfSegments(decoded)
	if holdsEscape(decoded) {
		found |= doubleEncoding
	}
	if why := refused(decoded, found, allowed); why != "" {
		return why
	}
	for range decodingDepth {
		if !holdsEscape(decoded) {
			return ""
		}
		decoded = unescapeLeniently(decoded)
		if why := refused(decoded, classesOfSegments(decoded), allowed); why != "" {
			return why
		}
	}
	if holdsEscape(decoded) {
		return doubleEncoding.String() // nobody encodes a path this often in good faith
	}
	return ""
}

// refused names what is wrong with a decoded path in which classes were found.
func refused(decoded string, found, allowed pathClass) string {
	if why := neverFit(decoded); why != "" {
		return why
	}
	return (found &^ allowed).String()
}

// classesOfEncoding finds the classes that show in the path as it is sent.
func classesOfEncoding(encoded string) pathClass {
	var found pathClass
	for i := 0; i < len(encoded); i++ {
		b, isEncoded := encoded[i], false
		if b == '%' {
			b, isEncoded = hexValue(encoded[i+1])<<4|hexValue(encoded[i+2]), true
			i += 2
		}
		switch {
		case b == '/' && isEncoded:
			found |= encodedSlash
		case b == '/' && i+1 < len(encoded) && encoded[i+1] == '/':
			found |= emptySegment
		case b == '\\':
			found |= backslash
		case b == ';':
			found |= semicolon
		}
	}
	return found
}

// classesOfSegments finds the classes that show in the segments of a decoded path,
// where a backslash counts as a slash.
func classesOfSegments(decoded string) pathClass {
	var found pathClass
	for segment := range strings.FieldsFuncSeq(decoded, isSeparator) {
		name, _, _ := strings.Cut(segment, ";") // Java takes "..;" for ".."
		if isDots(strings.Trim(name, " ")) {
			found |= dotSegment
		}
		if endsOddly(segment) || endsOddly(name) {
			found |= trailingDot
		}
	}
	return found
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

func isDots(segment string) bool { return segment == "." || segment == ".." }

// endsOddly says whether Windows would take the end of a segment off.
func endsOddly(segment string) bool {
	return !isDots(segment) && strings.TrimRight(segment, ". ") != segment
}

// neverFit finds what no upstream has a use for: control characters, which end a
// string in one language and a line in another, and bytes that are no UTF-8, among them
// the overlong forms of '/' and '.' (%C0%AF, %E0%80%AE) that careless decoders accept.
func neverFit(decoded string) string {
	if !utf8.ValidString(decoded) {
		return pathIsNotUTF8
	}
	if strings.ContainsFunc(decoded, unicode.IsControl) {
		return pathIsControl
	}
	return ""
}

// holdsEscape says whether another round of decoding would change s.
func holdsEscape(s string) bool {
	for {
		at := strings.IndexByte(s, '%')
		if at < 0 || len(s)-at < 3 {
			return false
		}
		if isHex(s[at+1]) && isHex(s[at+2]) {
			return true
		}
		s = s[at+1:]
	}
}

// unescapeLeniently decodes what can be decoded, and leaves a % alone that begins no
// escape, as an upstream would that decodes once too often.
func unescapeLeniently(s string) string {
	if !holdsEscape(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && len(s)-i >= 3 && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
