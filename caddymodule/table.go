package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A rule is what a route needs beyond a session: scopes, or it is refused to everybody.
// The zero rule is satisfied by a session alone.
type rule struct {
	deny   bool
	scopes verifier.Scopes
}

// String is the rule as the Caddyfile spells it.
func (r rule) String() string {
	switch {
	case r.deny:
		return "deny"
	case r.scopes.Empty():
		return "-"
	}
	return r.scopes.String()
}

// and is the rule that is satisfied by whatever satisfies both.
func (r rule) and(other rule) rule {
	return rule{deny: r.deny || other.deny, scopes: r.scopes.Union(other.scopes)}
}

// A route is one line of a table.
type route struct {
	method  string // empty: any
	pattern string
	need    rule
	from    string // the OpenAPI document that it is from; empty: written in the config
}

func (r route) String() string { return strings.TrimSpace(r.method + " " + r.pattern) }

// quoted is the route as an error names it: with the file where it is to be looked for.
func (r route) quoted() string {
	if r.from == "" {
		return strconv.Quote(r.String())
	}
	return strconv.Quote(r.String()) + " of " + r.from
}

// routeTable says which rule a request is under. The patterns are those of
// [http.ServeMux], which also does the matching: the most specific one decides, and two
// of which none is more specific are a conflict. It is immutable.
//
// Spellings that servers are known to take for one another are one to the table:
//
//   - letter case, by simple folding of single characters (neither "ß" and "ss" nor
//     composed and decomposed forms are one);
//   - a slash at the end, or none; so a subtree ("/files/") covers "/files" too, unless
//     that has a line of its own;
//   - encoded and plain characters, but for an encoded slash, which separates nothing;
//   - the case of the method.
//
// The names of wildcards mean nothing: what stands in braces is one.
type routeTable struct {
	mux      http.ServeMux
	routes   []route
	methods  []string // of the routes, each once
	fallback rule
}

// newRouteTable compiles routes; fallback decides what none of them matches.
func newRouteTable(routes []route, fallback rule) (*routeTable, error) {
	t := &routeTable{routes: slices.Clone(routes), fallback: fallback}
	patterns := make([]string, len(routes))
	for i, r := range routes {
		var err error
		if patterns[i], err = muxPattern(r); err != nil {
			return nil, err
		}
		if err := register(&t.mux, patterns[i], &t.routes[i].need); err != nil {
			return nil, conflict(t.routes[:i+1], patterns[:i+1], err)
		}
	}
	if err := t.checkReach(patterns); err != nil {
		return nil, err
	}
	t.methods = methodsOf(routes)
	return t, nil
}

// register adds a pattern to mux, and makes an error of its panic.
func register(mux *http.ServeMux, pattern string, need *rule) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%v", problem)
		}
	}()
	mux.Handle(pattern, need)
	return nil
}

// conflict names the route with which the last one cannot stand in one table. The
// multiplexer has refused it in words of its own, about patterns as they were rewritten.
func conflict(routes []route, patterns []string, cause error) error {
	last := len(routes) - 1
	for i := range last {
		pair := new(http.ServeMux)
		if register(pair, patterns[i], new(rule)) == nil && register(pair, patterns[last], new(rule)) != nil {
			return fmt.Errorf("patterns %s and %s conflict: there are requests that both match, and neither is more specific", routes[i].quoted(), routes[last].quoted())
		}
	}
	return fmt.Errorf("pattern %q: %w", routes[last], cause)
}

// checkReach looks each pattern up, by a path that it matches. A table that does not find its
// own lines would leave them to the fallback; a multiplexer of Go 1.21, which a
// process can ask for by GODEBUG, is of that kind.
func (t *routeTable) checkReach(patterns []string) error {
	for i, pattern := range patterns {
		method, path, _ := strings.Cut(pattern, "/")
		path = strings.TrimSuffix(strings.TrimSuffix("/"+path, "{$}"), "{rest...}")
		if t.match(strings.TrimSpace(method), strings.NewReplacer("{", "", "}", "").Replace(path)) == nil {
			return fmt.Errorf("pattern %q would never match (GODEBUG must not hold httpmuxgo121=1)", t.routes[i])
		}
	}
	return nil
}

// rows returns the lines of the table as they were written.
func (t *routeTable) rows() []route { return slices.Clone(t.routes) }

// ServeHTTP makes a rule what a multiplexer holds; nobody calls it.
func (*rule) ServeHTTP(http.ResponseWriter, *http.Request) {}

// lookup returns the rule for a request, by its method and its path as it is sent on
// ([url.URL.EscapedPath]).
//
// The path, cleaned of what [checkPath] lets through only on demand, decides. What
// else an upstream may make of it can only add: a path that an upstream may take for
// that of another line needs what both lines say.
func (t *routeTable) lookup(method, escaped string) rule {
	method = strings.ToUpper(method)
	if escaped == "" {
		escaped = "/"
	}
	if isPlain(escaped) {
		return t.decide(method, strings.ToLower(strings.TrimSuffix(escaped, "/")+"/"))
	}
	if escaped[0] != '/' {
		return t.fallback // "OPTIONS *"
	}
	segments := strings.Split(escaped[1:], "/")
	for i, s := range segments {
		segments[i] = unescapeSegment(s)
	}
	cleaned := muxPath(clean(segments))
	need := t.decide(method, cleaned)
	for _, reading := range readings(escaped, segments) {
		if reading == cleaned {
			continue
		}
		if also := t.match(method, reading); also != nil {
			need = need.and(*also)
		} else if t.evades(method, reading) {
			need.deny = true
		}
	}
	return need
}

// decide is the rule of a path of [muxPath], or the fallback.
func (t *routeTable) decide(method, path string) rule {
	if need := t.match(method, path); need != nil {
		return *need
	}
	return rule{deny: t.fallback.deny || t.evades(method, path), scopes: t.fallback.scopes}
}

// match finds the rule of a path of [muxPath], or nil. Such a path is clean and ends in a
// slash, so that the multiplexer has no reason to redirect it; its answers for a path
// without a route, or without one for the method, are no rules either.
func (t *routeTable) match(method, path string) *rule {
	u := url.URL{Path: unescapeSegment(path), RawPath: path}
	h, _ := t.mux.Handler(&http.Request{Method: method, URL: &u})
	need, _ := h.(*rule)
	return need
}

// muxPattern is the route as the multiplexer gets it. Every pattern ends in "/{$}" or in
// "/{rest...}" there, as every path ends in a slash: so the one that is
// folded is in both, and what conflicts because of it is found.
func muxPattern(r route) (string, error) {
	if err := checkRoute(r); err != nil {
		return "", err
	}
	var b strings.Builder
	segments := strings.Split(r.pattern[1:], "/")
	last, end := segments[len(segments)-1], "/{$}"
	switch {
	case last == "" || isRest(last):
		segments, end = segments[:len(segments)-1], "/{rest...}"
	case last == "{$}":
		segments = segments[:len(segments)-1]
	}
	for i, s := range segments {
		b.WriteByte('/')
		if isWildcard(s) {
			b.WriteString("{w" + strconv.Itoa(i) + "}")
			continue
		}
		writeSegment(&b, unescapeSegment(s))
	}
	return strings.TrimSpace(strings.ToUpper(r.method) + " " + b.String() + end), nil
}

// checkRoute finds what would make a line match nothing, and so leave to the default what it names.
func checkRoute(r route) error {
	if err := checkPattern(r.pattern); err != nil {
		return err
	}
	if r.method == "*" {
		return fmt.Errorf("pattern %q: leave the method out where any is meant", r)
	}
	if r.method != "" && checkToken(r.method) != nil {
		return fmt.Errorf("pattern %q: %q is no method", r, r.method)
	}
	for segment := range strings.SplitSeq(r.pattern, "/") {
		literal, err := url.PathUnescape(segment)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", r, err)
		}
		if isDots(literal) {
			return fmt.Errorf("pattern %q: paths are cleaned of . and .. before they are matched", r)
		}
	}
	return nil
}

func isWildcard(segment string) bool { return strings.HasPrefix(segment, "{") }

func isRest(segment string) bool { return isWildcard(segment) && strings.HasSuffix(segment, "...}") }

// readings are what else an upstream may take a path for: as it is, without cleaning it;
// decoded to the end, with backslashes for slashes; and so, without what some cut off.
func readings(escaped string, segments []string) []string {
	if last := len(segments) - 1; segments[last] == "" {
		segments = segments[:last]
	}
	decoded := escaped
	for range decodingDepth {
		decoded = unescapeLeniently(decoded)
	}
	decoded = strings.ReplaceAll(decoded, `\`, "/")
	cut := decoded
	if i := strings.IndexAny(cut, "?#"); i >= 0 {
		cut = cut[:i]
	}
	bare := strings.Split(cut, "/")
	for i, s := range bare {
		bare[i] = bareSegment(s)
	}
	return []string{
		muxPath(segments),
		muxPath(clean(strings.Split(decoded, "/"))),
		muxPath(clean(bare)),
	}
}

// bareSegment is s without its parameters, and without the dots and spaces at its end.
func bareSegment(s string) string {
	s, _, _ = strings.Cut(s, ";")
	if bare := strings.Trim(s, " "); isDots(bare) {
		return bare
	}
	return strings.TrimRight(s, ". ")
}

// isPlain says whether there is but one way to read a path: it is clean, and nothing in
// it is encoded, or has a meaning to anybody. Folded, it is then what [muxPath] makes of it.
func isPlain(escaped string) bool {
	if escaped[0] != '/' {
		return false
	}
	for i := range len(escaped) {
		c, beforeSlash := escaped[i], i+1 == len(escaped) || escaped[i+1] == '/'
		switch {
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`%;\?#`, c) >= 0:
			return false
		case c == '/' && beforeSlash && i+1 < len(escaped), c == '.' && beforeSlash:
			return false
		}
	}
	return true
}

// clean resolves empty segments and dots as [path.Clean] does, with segments that may hold slashes.
func clean(segments []string) []string {
	cleaned := make([]string, 0, len(segments))
	for _, s := range segments {
		switch s {
		case "", ".":
		case "..":
			cleaned = cleaned[:max(0, len(cleaned)-1)]
		default:
			cleaned = append(cleaned, s)
		}
	}
	return cleaned
}

// muxPath writes decoded segments as a path for the multiplexer: folded, and with a slash at its end.
func muxPath(segments []string) string {
	var b strings.Builder
	b.Grow(64)
	for _, s := range segments {
		b.WriteByte('/')
		writeSegment(&b, s)
	}
	b.WriteByte('/')
	return b.String()
}

// writeSegment writes a decoded segment folded, and encoded so that the multiplexer neither
// splits nor cleans it.
func writeSegment(b *strings.Builder, segment string) {
	// A slash within a segment becomes NUL, which no path holds: the multiplexer
	// decodes segments, and takes one that is nothing but a slash for the end of the path.
	const slash = 0
	if segment == "" || isDots(segment) {
		b.WriteString("%00")
	}
	for len(segment) > 0 {
		r, size := utf8.DecodeRuneInString(segment)
		switch {
		case r == '/':
			writeEscaped(b, slash)
		case isUnreserved(r):
			b.WriteRune(foldRune(r))
		case r == utf8.RuneError && size == 1:
			writeEscaped(b, segment[0])
		default:
			var space [utf8.UTFMax]byte
			for _, c := range utf8.AppendRune(space[:0], foldRune(r)) {
				writeEscaped(b, c)
			}
		}
		segment = segment[size:]
	}
}

func writeEscaped(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// isUnreserved says whether a character means the same with and without encoding
// (RFC 3986 section 2.3).
func isUnreserved(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~", r)
}

// foldRune brings together the characters of which some comparison without letter case
// makes one: by way of upper case first, so that it catches the long s and the dotless i too.
func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

// unescapeSegment decodes s, or leaves it as it is where that cannot be done.
func unescapeSegment(s string) string {
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}
