package httpapi

import (
	"net/textproto"
	"slices"
	"strings"
)

// What a request brings to say whose it is, is read here for the endpoints, and for
// whoever guards routes: what the one takes for a credential, the other must not pass
// over. Two values in one place are a [gateway.CodeBadRequest]: whoever wrote the second
// one may have meant the other. Nothing here verifies anything.

// HeaderToken reads the token in the values of the header of that name, "Bearer <token>"
// (RFC 6750, section 2.1), or empty where there is none. An Authorization of another
// scheme is no credential; in another header the token may also stand alone.
func HeaderToken(name string, values []string) (string, error) {
	if len(values) > 1 {
		return "", badRequest("the %s header came %d times; send one", name, len(values))
	}
	if len(values) == 0 || values[0] == "" {
		return "", nil
	}
	scheme, token := CutScheme(values[0])
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case name != "Authorization":
		token = textproto.TrimString(values[0])
	case holdsBearer(values[0]):
		return "", badRequest("the Authorization header holds several credentials; send one")
	default:
		return "", nil
	}
	if token == "" || strings.ContainsAny(token, ", \t") {
		return "", badRequest("the %s header must hold exactly one token", name)
	}
	return token, nil
}

// CutScheme splits credentials into scheme and the rest (RFC 9110, section 11.4).
// Whatever cannot stand in a scheme ends it, so that "Bearer,x" is a Bearer too, and refused.
func CutScheme(credentials string) (scheme, rest string) {
	credentials = textproto.TrimString(credentials)
	end := strings.IndexAny(credentials, " \t,")
	if end < 0 {
		return credentials, ""
	}
	return credentials[:end], strings.TrimLeft(credentials[end:], " ")
}

// holdsBearer says whether one of a list of credentials is a Bearer.
func holdsBearer(value string) bool {
	for part := range strings.SplitSeq(value, ",") {
		if scheme, token := CutScheme(part); token != "" && strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}

// CookieToken reads the value of the only cookie of that name in Cookie lines, without its
// quotes. It is empty where there is none, and where one was cleared. No cookie has an empty name.
func CookieToken(lines []string, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	token, count := "", 0
	for _, line := range lines {
		for piece := range strings.SplitSeq(line, ";") {
			if n, value := CookieParts(piece); n == name {
				token = value
				count++
			}
		}
	}
	if count > 1 {
		return "", badRequest("the cookie %s came %d times; send one", name, count)
	}
	return token, nil
}

// CookieParts reads one piece of a Cookie line as net/http does, but for values that it
// finds odd: a token with an odd byte in it is for the verifier to refuse.
func CookieParts(piece string) (name, value string) {
	name, value, _ = strings.Cut(textproto.TrimString(piece), "=")
	name, value = textproto.TrimString(name), textproto.TrimString(value)
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return name, value
}

// CheckCookies refuses Cookie lines in which a cookie of one of these names hides inside
// another one. Some parsers split at commas and spaces, or know quotes: "a=1 jwt=x" is
// one cookie to [CookieToken], and to them, two. An empty name is none.
func CheckCookies(lines []string, names ...string) error {
	for _, name := range names {
		hides := func(line string) bool { return CookieHides(line, name, ";") }
		if name != "" && slices.ContainsFunc(lines, hides) {
			return badRequest("the cookie %s can be read in more than one way; send it alone between semicolons", name)
		}
	}
	return nil
}

// CookieHides says whether the most lenient parser could find other cookies of that name
// in a Cookie line than stand there between the separators.
func CookieHides(line, name, separators string) bool {
	return strings.Contains(line, name) && mentions(line, name) != assignments(line, name, separators)
}

// assignments counts the cookies of that name, as [CookieParts] reads them.
func assignments(line, name, separators string) (count int) {
	separates := func(r rune) bool { return strings.ContainsRune(separators, r) }
	for piece := range strings.FieldsFuncSeq(line, separates) {
		if n, _ := CookieParts(piece); n == name && strings.Contains(piece, "=") {
			count++
		}
	}
	return count
}

// mentions counts the cookies of that name as the most lenient parser could find them.
func mentions(line, name string) (count int) {
	for at := 0; ; {
		i := strings.Index(line[at:], name)
		if i < 0 {
			return count
		}
		start := at + i
		at = start + len(name)
		begins := start == 0 || line[start-1] == ';' || isCookieBlank(line[start-1])
		if begins && strings.HasPrefix(trimCookieBlanks(line[at:]), "=") {
			count++
		}
	}
}

func trimCookieBlanks(s string) string {
	for s != "" && isCookieBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// isCookieBlank says whether some parser passes over c between cookies. Bytes beyond
// ASCII are among them: a no-break space is trimmed like any other.
func isCookieBlank(c byte) bool {
	return c == ' ' || c == '\t' || c == ',' || c == '"' || c >= 0x80
}
