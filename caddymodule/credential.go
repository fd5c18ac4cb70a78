package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// The headers in which a client brings the proof of a step-up.
const (
	elevatedHeader  = "X-Dyn-Elevated-Access-Token"
	assertionHeader = "X-Step-Up-Assertion"
)

// sdkCookie is where the Dynamic SDKs keep the session token that they get, in reach of
// scripts, if the settings name an external cookie and the gateway sets no cookie of its
// own. Browsers send it wherever the app's host is; nobody reads it.
const sdkCookie = "DYNAMIC_JWT_TOKEN"

// place is where in a request a credential was found.
type place uint8

const (
	nowhere place = iota
	inHeader
	inExternalCookie
	inSessionCookie
	inQuery
)

// isCookie says whether a browser may have brought the credential without being asked to.
func (p place) isCookie() bool { return p == inExternalCookie || p == inSessionCookie }

// credential is what a request brought to say whose it is. Nobody has verified it yet.
type credential struct {
	token string // empty: there is none
	place place

	// session is the value of the session cookie where the external cookie decides:
	// it may be left over from another identity.
	session string
}

// sources are the places where an environment looks for a credential, in this order.
// An empty name is no place; the header is always one.
type sources struct {
	header         string // canonical
	externalCookie string
	sessionCookie  string
	query          string

	// own are the cookies that hold session tokens: none of them is the upstream's.
	own []string
}

// newSources compiles the places. An empty header is Authorization.
func newSources(header, externalCookie, sessionCookie, query string) *sources {
	s := &sources{
		header:         http.CanonicalHeaderKey(cmp.Or(header, "Authorization")),
		externalCookie: externalCookie,
		sessionCookie:  sessionCookie,
		query:          query,
		own:            []string{sessionCookie},
	}
	if externalCookie != "" && externalCookie != sdkCookie && sessionCookie == "" {
		s.own = []string{sdkCookie}
	}
	return s
}

// take reads the credential of r: the first place that has one decides. It leaves r as it
// is; [sources.remove] takes away what it read and what it passed over.
//
// Two values in one place are an error, because the upstream, or whoever wrote
// the second one, may have meant the other.
func (s *sources) take(r *http.Request) (credential, error) {
	cookies := r.Header["Cookie"]
	if err := s.checkCookies(cookies); err != nil {
		return credential{}, err
	}
	if c, err := s.fromHeader(r.Header[s.header]); err != nil || c.token != "" {
		return c, err
	}
	if c, err := s.fromCookies(cookies); err != nil || c.token != "" {
		return c, err
	}
	return s.fromQuery(r.URL.RawQuery)
}

// remove takes credentials out of r: out of every place but the one to keep, whether
// they decided or not. An Authorization of another scheme is nobody's credential here, and
// stays. A cookie with a session is for the gateway alone.
func (s *sources) remove(r *http.Request, keep place) {
	s.removeHeader(r.Header, keep == inHeader)
	dropCookies(r.Header, s.own...)
	if keep != inExternalCookie {
		dropCookies(r.Header, s.externalCookie)
	}
	if keep != inQuery && s.query != "" {
		dropQuery(r.URL, s.query)
	}
}

// removeHeader deletes the header and, always, what only looks like it to a lenient server.
func (s *sources) removeHeader(h http.Header, keep bool) {
	for name := range h {
		stays := name == s.header && (keep || s.isForeign(h[name]))
		if !stays && sameName(name, s.header) {
			delete(h, name)
		}
	}
}

// isForeign says whether a header holds an Authorization of another scheme than Bearer.
func (s *sources) isForeign(values []string) bool {
	if s.header != "Authorization" || len(values) != 1 {
		return false
	}
	scheme, _ := cutScheme(values[0])
	return !strings.EqualFold(scheme, "Bearer")
}

// fromHeader reads "Bearer <token>" (RFC 6750 section 2.1); in a header other than
// Authorization the token may also stand alone.
func (s *sources) fromHeader(values []string) (credential, error) {
	if len(values) > 1 {
		return credential{}, badRequest("the %s header came %d times; send one", s.header, len(values))
	}
	if len(values) == 0 || values[0] == "" {
		return credential{}, nil
	}
	scheme, token := cutScheme(values[0])
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case s.header != "Authorization":
		token = textproto.TrimString(values[0])
	case holdsBearer(values[0]):
		return credential{}, badRequest("the Authorization header holds several credentials; send one")
	default:
		return credential{}, nil
	}
	if token == "" || strings.ContainsAny(token, ", \t") {
		return credential{}, badRequest("the %s header must hold exactly one token", s.header)
	}
	return credential{token: token, place: inHeader}, nil
}

// cutScheme splits credentials into scheme and the rest (RFC 9110 section 11.4).
// Whatever cannot stand in a scheme ends it, so that "Bearer,x" is a Bearer too, and refused.
func cutScheme(value string) (scheme, rest string) {
	value = textproto.TrimString(value)
	end := strings.IndexAny(value, " \t,")
	if end < 0 {
		return value, ""
	}
	return value[:end], strings.TrimLeft(value[end:], " ")
}

// holdsBearer says whether one of a list of credentials is a Bearer.
func holdsBearer(value string) bool {
	for part := range strings.SplitSeq(value, ",") {
		if scheme, token := cutScheme(part); token != "" && strings.EqualFold(scheme, "Bearer") {
			return true
		}
	}
	return false
}

// fromCookies reads both cookies; where both are there, the external one decides.
// An empty cookie is one that was cleared.
func (s *sources) fromCookies(lines []string) (credential, error) {
	external, err := cookieValue(lines, s.externalCookie)
	if err != nil {
		return credential{}, err
	}
	session, err := cookieValue(lines, s.sessionCookie)
	if err != nil {
		return credential{}, err
	}
	switch {
	case external != "":
		return credential{token: external, place: inExternalCookie, session: session}, nil
	case session != "":
		return credential{token: session, place: inSessionCookie}, nil
	}
	return credential{}, nil
}

// cookieValue returns the value of the only cookie of that name, without its quotes.
func cookieValue(lines []string, name string) (value string, err error) {
	count := 0
	if name == "" {
		return "", nil
	}
	for _, line := range lines {
		for piece := range strings.SplitSeq(line, ";") {
			if n, v := cookieParts(piece); n == name {
				value = v
				count++
			}
		}
	}
	if count > 1 {
		return "", badRequest("the cookie %s came %d times; send one", name, count)
	}
	return value, nil
}

// cookieParts reads one piece of a Cookie header as net/http does, but for values that it
// finds odd: a token with an odd byte in it is for the verifier to refuse.
func cookieParts(piece string) (name, value string) {
	name, value, _ = strings.Cut(textproto.TrimString(piece), "=")
	name, value = textproto.TrimString(name), textproto.TrimString(value)
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return name, value
}

// checkCookies refuses a cookie of ours that hides inside another one. Some parsers
// split at commas and spaces, or know quotes: "a=1 jwt=x" would be one cookie to the
// gateway, and to an upstream that trusts what the gateway let through, two.
func (s *sources) checkCookies(lines []string) error {
	for _, name := range [...]string{s.externalCookie, s.sessionCookie} {
		if name == "" {
			continue
		}
		for _, line := range lines {
			if strings.Contains(line, name) && mentions(line, name) != assignments(line, name) {
				return badRequest("the cookie %s can be read in more than one way; send it alone between semicolons", name)
			}
		}
	}
	return nil
}

// assignments counts the cookies of that name, as the gateway reads them.
func assignments(line, name string) (count int) {
	for piece := range strings.SplitSeq(line, ";") {
		if n, _ := cookieParts(piece); n == name && strings.Contains(piece, "=") {
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

// fromQuery reads the query parameter. A semicolon beside it would make two
// parameters of it for some upstreams, and none for others.
func (s *sources) fromQuery(raw string) (credential, error) {
	if s.query == "" {
		return credential{}, nil
	}
	value, count := "", 0
	for pair := range strings.SplitSeq(raw, "&") {
		for piece := range strings.SplitSeq(pair, ";") {
			if parameterName(piece) != s.query {
				continue
			}
			if piece != pair {
				return credential{}, badRequest("the query parameter %s has a semicolon beside it; separate parameters with &", s.query)
			}
			_, value, _ = strings.Cut(piece, "=")
			count++
		}
	}
	if count > 1 {
		return credential{}, badRequest("the query parameter %s came %d times; send one", s.query, count)
	}
	token, err := url.QueryUnescape(value)
	if err != nil {
		return credential{}, badRequest("the query parameter %s is wrongly encoded", s.query)
	}
	if token == "" {
		return credential{}, nil
	}
	return credential{token: token, place: inQuery}, nil
}

// takeProof reads what the client brought for a step-up. Other spellings of the
// headers are not read; [managed.strip] removes them like these.
func takeProof(h http.Header) (gateway.Proof, error) {
	elevated, err := singleValue(h, elevatedHeader)
	if err != nil {
		return gateway.Proof{}, err
	}
	assertion, err := singleValue(h, assertionHeader)
	if err != nil {
		return gateway.Proof{}, err
	}
	return gateway.Proof{Elevated: elevated, Assertion: assertion}, nil
}

// singleValue returns the only token of a header that has at most one.
func singleValue(h http.Header, name string) (string, error) {
	values := h[name]
	if len(values) == 0 {
		return "", nil
	}
	value := textproto.TrimString(values[0])
	if len(values) > 1 || value == "" || strings.ContainsAny(value, ", \t") {
		return "", badRequest("the %s header must hold exactly one token", name)
	}
	return value, nil
}

func badRequest(format string, args ...any) error {
	return &gateway.Refusal{Code: gateway.CodeBadRequest, Err: fmt.Errorf(format, args...)}
}
