package caddymodule

import (
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// overrideHeaders ask a server or a framework for another method or another path
// than the request line says, and so for another route than was decided on.
var overrideHeaders = []string{
	"x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url",
}

// trailerNames are what may be a client's header, and nobody's trailer: who sends a
// request is not said after it (RFC 9110 section 6.5.1). In a header, a credential is
// held against the rules or removed; an upstream that merges trailers would read another.
var trailerNames = []string{"Authorization", "Proxy-Authorization", "Cookie"}

// managed is the set of headers that no client may hand to the upstream: those that the
// gateway sets itself, those that carry proofs, and those that ask for another route.
//
// A name counts in every spelling that some server takes for it: letter case does not
// matter, and '_' and '.' pass for '-', because CGI and its heirs make '_' of all three.
type managed struct {
	folded  map[string]struct{}
	longest int
}

// newManaged compiles the set of the given names and of what is always in it.
func newManaged(names ...string) *managed {
	m := &managed{folded: make(map[string]struct{})}
	for _, name := range slices.Concat(names, overrideHeaders, proofHeaders) {
		m.folded[foldName(name)] = struct{}{}
		m.longest = max(m.longest, len(name))
	}
	return m
}

// has says whether name is in the set, in whatever spelling. It does not allocate:
// it is asked of every header of every request.
func (m *managed) has(name string) bool {
	var space [64]byte
	if len(name) > m.longest {
		return false
	}
	_, found := m.folded[string(appendFolded(space[:0], name))]
	return found
}

// appendFolded appends what [foldName] makes of name.
func appendFolded(to []byte, name string) []byte {
	for i := range len(name) {
		to = append(to, foldByte(name[i]))
	}
	return to
}

func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.':
		return '-'
	}
	return c
}

// sameName says whether some server or other takes two names of headers for one.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldByte(a[i]) != foldByte(b[i]) {
			return false
		}
	}
	return true
}

// strip deletes every header of the set. What the gateway sets, it sets afterwards:
// a header for which there is nothing to say must not be the client's.
func (m *managed) strip(h http.Header) {
	for name := range h {
		if m.has(name) {
			delete(h, name)
		}
	}
}

// stripTrailers keeps the headers of the set from arriving as trailers, which
// proxies forward and many servers merge into the headers.
//
// To delete those that were announced is not enough. An HTTP/1 server of net/http fills
// r.Trailer when the body ends, with whatever then comes as soon as anything at all was
// announced; so the body is wrapped, and the trailers are cleaned at its end, before
// the handler that reads it can look at them. Nothing is buffered.
//
// The "Trailer" header itself needs nothing: net/http takes it out of a request that
// can have trailers, and without one they are not forwarded.
func (m *managed) stripTrailers(r *http.Request) {
	m.strip(r.Trailer)
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.Trailer == nil && r.ContentLength >= 0 {
		return // a body of known length ends without trailers, unless they were announced
	}
	r.Body = &trailerGuard{ReadCloser: r.Body, request: r, managed: m}
}

// trailerGuard is a request body whose end cleans the trailers of its request. It has no
// part in Close: a body that is closed before its end has no trailers to be sent on.
type trailerGuard struct {
	io.ReadCloser
	request *http.Request
	managed *managed
}

func (g *trailerGuard) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if err == io.EOF {
		g.managed.strip(g.request.Trailer)
	}
	return n, err
}

// cleanConnection leaves in Connection only what is about the connection. A proxy
// deletes every header that is named there (RFC 9110 section 7.6.1), and would so
// delete on a client's behalf what the gateway has just set.
//
// It also takes back the offer to go on in another version of HTTP: after an upgrade to
// h2c the upstream would read further requests that the gateway never sees. A server
// may ignore an upgrade (RFC 9110 section 7.8), so the request goes on as it is.
func cleanConnection(h http.Header) {
	if slices.ContainsFunc(h["Upgrade"], speaksHTTP) {
		delete(h, "Upgrade")
		delete(h, "Http2-Settings")
	}
	lines := h["Connection"]
	if !slices.ContainsFunc(lines, holdsForeignOption) {
		return
	}
	var kept []string
	for _, line := range lines {
		for option := range strings.SplitSeq(line, ",") {
			if option = textproto.TrimString(option); isConnectionOption(option) {
				kept = append(kept, option)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(kept, ", ")}
}

func holdsForeignOption(line string) bool {
	for option := range strings.SplitSeq(line, ",") {
		if !isConnectionOption(textproto.TrimString(option)) {
			return true
		}
	}
	return false
}

func isConnectionOption(option string) bool {
	for _, known := range [...]string{"close", "keep-alive", "upgrade", "te"} {
		if strings.EqualFold(option, known) {
			return true
		}
	}
	return false
}

// speaksHTTP says whether a line of Upgrade offers a protocol that carries HTTP requests.
func speaksHTTP(line string) bool {
	for offer := range strings.SplitSeq(line, ",") {
		protocol, _, _ := strings.Cut(textproto.TrimString(offer), "/")
		for _, known := range [...]string{"h2c", "h2", "http", "tls"} {
			if strings.EqualFold(protocol, known) {
				return true
			}
		}
	}
	return false
}

// dropCookies removes the cookies of the given names, which it returns, and leaves all others
// as they came, byte for byte. Names are compared exactly (RFC 6265 section 5.4); empty ones
// are no names.
func dropCookies(h http.Header, names ...string) (pieces []string) {
	ours := func(piece string) bool {
		name, _ := httpapi.CookieParts(piece)
		if name == "" || !slices.Contains(names, name) {
			return false
		}
		pieces = append(pieces, strings.Trim(piece, " \t"))
		return true
	}
	lines, changed := h["Cookie"], false
	for i, line := range lines {
		kept, dropped := withoutPieces(line, ";", ours)
		if !dropped {
			continue
		}
		if !changed {
			lines, changed = slices.Clone(lines), true // the log of the request may hold the same slice
		}
		lines[i] = strings.TrimLeft(kept, " \t")
	}
	if !changed {
		return nil
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Trim(line, "; \t") == "" })
	if len(lines) == 0 {
		delete(h, "Cookie")
		return pieces
	}
	h["Cookie"] = lines
	return pieces
}

// dropQuery removes a parameter from the query, in any encoding of its name, and leaves
// all others as they came, byte for byte. ';' separates too, as it does for some upstreams.
func dropQuery(u *url.URL, param string) {
	u.RawQuery, _ = withoutPieces(u.RawQuery, "&;", func(piece string) bool {
		return param != "" && parameterName(piece) == param
	})
}

// dropReferrerQuery removes parameters from the Referer, in which a browser says what page the
// request comes from, query included (RFC 9110 section 10.1.3).
func dropReferrerQuery(h http.Header, params []string) {
	lines, changed := h["Referer"], false
	for i, referrer := range lines {
		address, query, _ := strings.Cut(referrer, "?")
		kept, dropped := withoutPieces(query, "&;", func(piece string) bool { return slices.Contains(params, parameterName(piece)) })
		if !dropped {
			continue
		}
		if !changed {
			lines, changed = slices.Clone(lines), true // the log of the request may hold the same slice
		}
		lines[i] = address
		if kept != "" {
			lines[i] += "?" + kept
		}
	}
	if changed {
		h["Referer"] = lines
	}
}

// parameterName decodes the name of a piece of a query, which is itself if it cannot be decoded.
func parameterName(piece string) string {
	name, _, _ := strings.Cut(piece, "=")
	if decoded, err := url.QueryUnescape(name); err == nil {
		return decoded
	}
	return name
}

// withoutPieces removes from s, which is separated by any of the given bytes, the pieces
// that are to be dropped, each with the separator before it, or after it where nothing
// else stands before. It allocates only if there is one.
func withoutPieces(s, separators string, drop func(piece string) bool) (kept string, dropped bool) {
	var b strings.Builder
	for at, first := 0, true; at <= len(s); {
		end := len(s)
		if i := strings.IndexAny(s[at:], separators); i >= 0 {
			end = at + i
		}
		switch {
		case drop(s[at:end]):
			if !dropped {
				b.WriteString(s[:max(at-1, 0)]) // all that was kept so far
			}
			dropped = true
		case dropped && !first:
			b.WriteString(s[at-1 : end])
		case dropped:
			b.WriteString(s[at:end])
			first = false
		default:
			first = false
		}
		at = end + 1
	}
	if !dropped {
		return s, false
	}
	return b.String(), true
}
