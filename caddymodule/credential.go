package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
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

	// own are the cookies that hold session tokens, of any environment: none of them is the upstream's.
	own []string

	// aside are those of own that are no login system's anywhere: the rest is no business of the
	// handler beside a gate.
	aside []string

	// others are the cookies in which other environments read external JWTs.
	others []string
}

// newSources compiles the places. An empty header is Authorization.
func newSources(header, externalCookie, sessionCookie, query string) *sources {
	return &sources{
		header:         http.CanonicalHeaderKey(cmp.Or(header, "Authorization")),
		externalCookie: externalCookie,
		sessionCookie:  sessionCookie,
		query:          query,
		own:            []string{ownCookie(externalCookie, sessionCookie)},
	}
}

// ownCookie is the cookie that holds the session tokens of an environment, or empty.
func ownCookie(externalCookie, sessionCookie string) string {
	if externalCookie != "" && externalCookie != sdkCookie && sessionCookie == "" {
		return sdkCookie
	}
	return sessionCookie
}

// addCookiesOf takes note of the cookies of all environments: browsers send them to every
// path of a host, and whatever is good at one gate is not for the upstream behind another. The
// cookie in which this environment reads external JWTs is under its own rule alone.
func (s *sources) addCookiesOf(environments map[string]*Environment) {
	for _, e := range environments {
		s.own = append(s.own, ownCookie(e.CookieName, e.Session.Cookie))
		s.others = append(s.others, e.CookieName)
	}
	external := func(name string) bool { return name == s.externalCookie }
	s.aside = slices.DeleteFunc(slices.Clone(s.own), func(name string) bool { return slices.Contains(s.others, name) })
	s.own = slices.DeleteFunc(s.own, external)
	s.others = slices.DeleteFunc(s.others, external)
}

// take reads the credential of r: the first place that has one decides. It leaves r as it
// is; [sources.remove] takes away what it read and what it passed over.
//
// Two values in one place are an error, because the upstream, or whoever wrote
// the second one, may have meant the other.
func (s *sources) take(r *http.Request) (credential, error) {
	cookies := r.Header["Cookie"]
	if err := httpapi.CheckCookies(cookies, s.externalCookie, s.sessionCookie); err != nil {
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
	dropCookies(r.Header, s.others...)
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
	scheme, _ := httpapi.CutScheme(values[0])
	return !strings.EqualFold(scheme, "Bearer")
}

// fromHeader reads the configured header.
func (s *sources) fromHeader(values []string) (credential, error) {
	token, err := httpapi.HeaderToken(s.header, values)
	if err != nil || token == "" {
		return credential{}, err
	}
	return credential{token: token, place: inHeader}, nil
}

// fromCookies reads both cookies; where both are there, the external one decides.
// An empty cookie is one that was cleared.
func (s *sources) fromCookies(lines []string) (credential, error) {
	external, err := httpapi.CookieToken(lines, s.externalCookie)
	if err != nil {
		return credential{}, err
	}
	session, err := httpapi.CookieToken(lines, s.sessionCookie)
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
