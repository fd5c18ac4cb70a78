package caddymodule

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"sync/atomic"
)

// hidden names what carries tokens.
type hidden struct{ headers, cookies, query []string }

// hiddenInLogs is what no log line may hold: the union of all that was ever
// configured in this process. The logs are opened before the handlers tell what they
// carry, and while a config is reloaded lines are still written for requests of the old one; so a
// name, once hidden, stays hidden.
var hiddenInLogs atomic.Pointer[hiddenNames]

func init() {
	hiddenInLogs.Store(newHiddenNames())
	hideFromLogs(hidden{headers: proofHeaders})
	hideFromLogs(hidden{headers: []string{mfaHeader}})
}

// mfaHeader is the header in which the SDKs send what they got for a second factor. Nothing
// here reads it, and it is a token all the same.
const mfaHeader = "x-mfa-auth-token"

// hideFromLogs keeps further names out of all logs that have `format byoa`. The case
// of letters does not matter; in headers neither does which of '-', '_' and '.' is used. Empty names are ignored.
func hideFromLogs(h hidden) {
	for {
		old := hiddenInLogs.Load()
		if hiddenInLogs.CompareAndSwap(old, old.with(h)) {
			return
		}
	}
}

// fieldRule is what is to be done with a field because of its name.
type fieldRule uint8

const (
	ruleNone      fieldRule = iota
	ruleDelete              // it carries a token
	ruleCookie              // it is the Cookie header
	ruleSetCookie           // it is the Set-Cookie header
)

// hiddenNames is an immutable set of names, as [foldName] or [lowerName] makes them.
type hiddenNames struct {
	fields  map[string]fieldRule
	cookies map[string]bool
	query   map[string]bool

	lengths      uint64 // bit i: a name in fields is i bytes long; bit 63: or longer
	longestQuery int
}

func newHiddenNames() *hiddenNames {
	n := &hiddenNames{fields: map[string]fieldRule{}, cookies: map[string]bool{}, query: map[string]bool{}}
	n.addHeader("cookie", ruleCookie)
	n.addHeader("set-cookie", ruleSetCookie)
	return n
}

func (n *hiddenNames) with(h hidden) *hiddenNames {
	next := &hiddenNames{
		fields: maps.Clone(n.fields), cookies: maps.Clone(n.cookies), query: maps.Clone(n.query),
		lengths: n.lengths, longestQuery: n.longestQuery,
	}
	for _, name := range h.headers {
		next.addHeader(name, ruleDelete)
	}
	for _, name := range h.cookies {
		if name != "" {
			next.cookies[lowerName(name)] = true
		}
	}
	for _, name := range h.query {
		if name != "" {
			next.query[lowerName(name)] = true
			next.longestQuery = max(next.longestQuery, len(name))
		}
	}
	return next
}

// addHeader also adds the name that CGI has for the header (RFC 3875 section
// 4.1.18), under which the FastCGI transport logs it.
func (n *hiddenNames) addHeader(name string, r fieldRule) {
	if name == "" {
		return
	}
	for _, folded := range []string{foldName(name), "http-" + foldName(name)} {
		n.fields[folded] = r
		n.lengths |= lengthBit(folded)
	}
}

func lengthBit(name string) uint64 {
	return 1 << min(len(name), 63)
}

// ruleFor runs for every field of every line, most of which have another length than any
// of the names. It folds the key in place of calling [foldName], which allocates.
func (n *hiddenNames) ruleFor(key string) fieldRule {
	if n.lengths&lengthBit(key) == 0 {
		return ruleNone
	}
	var stack [64]byte
	folded := stack[:0]
	for i := range len(key) {
		c := lowerASCII(key[i])
		if c == '_' || c == '.' {
			c = '-'
		}
		folded = append(folded, c)
	}
	return n.fields[string(folded)]
}

// text is a string without what has to stay out of it; false if nothing is left of the field.
func (n *hiddenNames) text(r fieldRule, value string) (string, bool) {
	switch r {
	case ruleDelete:
		return "", false
	case ruleCookie:
		kept := n.withoutCookies(value)
		return kept, kept != "" || value == ""
	case ruleSetCookie:
		return value, !n.setsCookie(value)
	default:
		return n.withoutQuery(value), true
	}
}

// lines is [hiddenNames.text] for the lines of a header. What it does not change it
// returns as it is, and allocates nothing.
func (n *hiddenNames) lines(r fieldRule, values []string) (kept []string, changed bool) {
	kept = values
	for i, value := range values {
		text, ok := n.text(r, value)
		if !changed && (!ok || text != value) {
			kept, changed = append([]string(nil), values[:i]...), true
		}
		if changed && ok {
			kept = append(kept, text)
		}
	}
	return kept, changed
}

// reflected is a value that would be encoded by reflection, without what has to
// stay out of it; false if nothing is left. A value that JSON cannot show is an error: nobody
// could tell what is in it.
func (n *hiddenNames) reflected(r fieldRule, value any) (any, bool, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, false, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, false, err
	}
	kept, ok := n.tree(r, tree)
	if ok && reflect.DeepEqual(kept, tree) {
		return value, true, nil
	}
	return kept, ok, nil
}

// tree is [hiddenNames.text] for decoded JSON.
func (n *hiddenNames) tree(r fieldRule, value any) (any, bool) {
	if r == ruleDelete {
		return nil, false
	}
	switch v := value.(type) {
	case string:
		return n.text(r, v)
	case []any:
		kept := make([]any, 0, len(v))
		for _, element := range v {
			if k, ok := n.tree(r, element); ok {
				kept = append(kept, k)
			}
		}
		return kept, len(kept) > 0 || len(v) == 0
	case map[string]any:
		kept := make(map[string]any, len(v))
		for name, member := range v {
			if k, ok := n.tree(n.ruleFor(name), member); ok {
				kept[name] = k
			}
		}
		return kept, true
	default:
		return value, true
	}
}
