package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"
)

const defaultPrefix = "/api/v0"

var errNotPublic = errors.New("the only argument is public")

func (a *API) setDefaults() {
	a.Prefix = cmp.Or(a.Prefix, defaultPrefix)
}

// validate returns an error, which names the field, for whatever can be wrong with a
// alone. Defaults need not be set.
func (a *API) validate() error {
	var err error
	if a.Prefix != "" {
		err = in("prefix", checkPrefix(a.Prefix))
	}
	if err == nil && len(a.OAuthClients) > 0 {
		err = in("oauth_clients", checkAvailable("oauth_client"))
	}
	return cmp.Or(err, in("environments", checkEach(a.Environments, checkEnvironmentName)))
}

// checkPrefix accepts a path that every client and proxy reads alike. The root is a single slash.
func checkPrefix(v string) error {
	switch {
	case strings.HasPrefix(v, "@"):
		return fmt.Errorf("%s is a matcher, and byoa_api takes none: its argument is the path under which the endpoints are served; "+
			"put byoa_api into a handle or route block to match more than that", v)
	case !strings.HasPrefix(v, "/"):
		return fmt.Errorf("%q must begin with /", v)
	case strings.Contains(v, "*"):
		return fmt.Errorf("%q is a prefix and no matcher: leave the * out", v)
	case path.Clean(v) != v || strings.ContainsAny(v, "%?#;\\{}\" ") || strings.ContainsFunc(v, isControl):
		return fmt.Errorf("%q must be a plain path, such as %s", v, defaultPrefix)
	}
	return nil
}
