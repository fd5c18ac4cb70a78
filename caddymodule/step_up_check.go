package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// What becomes of a request that no pattern of a table matches.
const (
	unmatchedDeny    = "deny"
	unmatchedSession = "session"
)

var maxAgeBounds = durations{time.Second, 365 * 24 * time.Hour}

// validate returns an error, which names the field, for whatever can be wrong with s.
func (s *StepUp) validate() error {
	err := cmp.Or(
		s.checkForm(),
		in("default", s.checkDefault()),
		s.validateRoutes(),
		in("scopes", checkEach(s.Scopes, checkScope)),
		in("acr", checkEach(s.ACR, checkACR)),
	)
	if s.MaxAge != 0 {
		err = cmp.Or(err, in("max_age", maxAgeBounds.check(s.MaxAge)))
	}
	if s.OpenAPI != "" {
		err = cmp.Or(err, in("openapi", checkText(s.OpenAPI)))
	}
	return err
}

// checkForm wants one form: the table, or scopes. A handler that asks for nothing
// would look like a guard and be none.
func (s *StepUp) checkForm() error {
	table := len(s.Routes) > 0 || s.Default != "" || s.OpenAPI != ""
	switch {
	case table && len(s.Scopes) > 0:
		return errors.New("either scopes, which every request needs that comes here, or a table of routes; not both")
	case !table && len(s.Scopes) == 0:
		return errors.New("asks for nothing: name scopes, or give a table of routes")
	}
	return nil
}

func (s *StepUp) checkDefault() error {
	switch s.Default {
	case "", unmatchedDeny, unmatchedSession:
		return nil
	}
	return fmt.Errorf("must be %s or %s, not %q", unmatchedDeny, unmatchedSession, s.Default)
}

func (s *StepUp) validateRoutes() error {
	for i := range s.Routes {
		if err := s.Routes[i].validate(); err != nil {
			return fmt.Errorf("routes[%d]: %w", i, err)
		}
	}
	return nil
}

func (r *StepUpRoute) validate() error {
	answers := 0
	for _, given := range []bool{len(r.Scopes) > 0, r.Deny, r.Session} {
		if given {
			answers++
		}
	}
	if answers != 1 {
		return fmt.Errorf("%s: exactly one of scopes, deny and session says what the route needs", r.Pattern)
	}
	var err error
	if r.Method != "" {
		err = checkMethod(r.Method)
	}
	return cmp.Or(err, checkPattern(r.Pattern), r.checkPlaceholders(), checkEach(r.Scopes, checkScope))
}

// checkPlaceholders refuses a placeholder, which would become a wildcard and match any segment.
func (r *StepUpRoute) checkPlaceholders() error {
	for _, found := range placeholder.FindAllString(r.Pattern, -1) {
		if !strings.Contains(strings.TrimSuffix(found, "...}"), ".") {
			continue
		}
		return fmt.Errorf("pattern %q: %s is a placeholder, and none is replaced in a pattern: write what it stands for, "+
			"in a Caddyfile {$NAME} for a variable of the process's environment, or, if it is a wildcard, a name without dots", r.Pattern, found)
	}
	return nil
}

// checkPattern judges the form of a pattern: one of net/http.ServeMux, without a
// method and a host, whose wildcards may have any name.
func checkPattern(v string) error {
	switch {
	case !strings.HasPrefix(v, "/"):
		return fmt.Errorf("pattern %q: must begin with /; patterns have no host", v)
	case strings.ContainsAny(v, "?#\\") || strings.ContainsFunc(v, isControl) || strings.Contains(v, " "):
		return fmt.Errorf("pattern %q: is a path, without query, fragment, backslash and spaces", v)
	case strings.Contains(v, "*"):
		return fmt.Errorf("pattern %q: * is no wildcard here; write {id} for one segment and {path...} for all that follows", v)
	}
	segments := strings.Split(v[1:], "/")
	for i, segment := range segments {
		if err := checkSegment(segment, i == len(segments)-1); err != nil {
			return fmt.Errorf("pattern %q: %w", v, err)
		}
	}
	return nil
}

var wildcard = regexp.MustCompile(`^\{[^{}]+\}$`)

func checkSegment(v string, last bool) error {
	switch {
	case v == "" && !last:
		return errors.New("has an empty segment")
	case v == "." || v == "..":
		return errors.New("has a dot segment")
	case !strings.ContainsAny(v, "{}"):
		return nil
	case !wildcard.MatchString(v) || v == "{...}":
		return fmt.Errorf("%q is no wildcard: a wildcard has a name and is a whole segment", v)
	case !last && (v == "{$}" || strings.HasSuffix(v, "...}")):
		return fmt.Errorf("%s can only stand at the end", v)
	}
	return nil
}
