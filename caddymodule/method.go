package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// standardMethods are those of RFC 9110 section 9.3 and RFC 5789.
var standardMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// ordinaryMethods are those of a web API: what `default session` may let on beside the lines of a path.
var ordinaryMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions,
}

// judgeMethod refuses a request that nobody should be given a token with: one whose method
// can be read in two ways, and TRACE, to which an upstream may answer with all that it
// got (RFC 9110 section 9.3.8), and so with the token that the gateway has set.
func judgeMethod(method string) error {
	if method == http.MethodTrace {
		return badMethod(errors.New("TRACE has an upstream repeat what it was given, and so the token: use another method"))
	}
	return judgeSpelling(method)
}

// judgeSpelling refuses a standard method in other letters than its own. Methods are
// case-sensitive (RFC 9110 section 9.1), and the matchers of Caddy take them so, but there
// are upstreams that do not: to these `post` is the POST that a matcher has not seen.
//
// It also refuses what is no method, which over HTTP/2 nobody else does: to "POST " with
// a space no line of a table and no matcher is for POST, and an upstream may trim it.
func judgeSpelling(method string) error {
	if checkToken(method) != nil {
		return badMethod(errors.New("the method is none: it must be a token (RFC 9110 section 9.1)"))
	}
	upper := strings.ToUpper(method)
	if upper == method || !slices.Contains(standardMethods, upper) {
		return nil
	}
	return badMethod(fmt.Errorf("the method can be read in two ways: write %s in upper case", upper))
}

func badMethod(err error) error {
	return &gateway.Refusal{Code: gateway.CodeBadRequest, Err: err}
}

// evades says whether a method beyond the ordinary ones comes to a path of [muxPath] that
// only has lines for others. What an upstream makes of such a method nobody knows, and it may
// be what those lines are about; so it is not for the fallback to let it on.
func (t *routeTable) evades(method, path string) bool {
	if slices.Contains(ordinaryMethods, method) {
		return false
	}
	return slices.ContainsFunc(t.methods, func(of string) bool { return t.match(of, path) != nil })
}

// methodsOf are the methods of routes, each once. A route for any method is found by any.
func methodsOf(routes []route) []string {
	var methods []string
	for _, r := range routes {
		methods = append(methods, strings.ToUpper(r.method))
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}
