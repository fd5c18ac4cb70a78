package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"
	"github.com/google/uuid"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// The checks of this file judge one value each, wherever it stands. They say what
// is wrong with it; the caller says where. A value that may come from a
// placeholder is not repeated in the error: it could be a secret in the wrong place.

var errEmpty = errors.New("must not be empty")

// checkEach checks every value of a list, in which none may stand twice.
func checkEach(values []string, check func(string) error) error {
	for i, v := range values {
		if err := check(v); err != nil {
			return err
		}
		if slices.Contains(values[:i], v) {
			return fmt.Errorf("%q stands twice", v)
		}
	}
	return nil
}

// placeholder finds what [caddy.Replacer] may replace when the config is loaded.
var placeholder = regexp.MustCompile(`\{[^{}]+\}`)

// loaded is check for a value that may hold placeholders: in the Caddyfile it is
// left alone if it does, and checked when they are resolved.
func loaded(check func(string) error) func(string) error {
	return func(v string) error {
		if placeholder.MatchString(v) {
			return nil
		}
		return check(v)
	}
}

var environmentName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkEnvironmentName(v string) error {
	if !environmentName.MatchString(v) {
		return fmt.Errorf("%q is no environment name: 1 to 64 letters, digits, '-' and '_'", v)
	}
	return nil
}

// checkUUID accepts the lower-case form alone, which is the one that clients put in a path.
func checkUUID(v string) error {
	id, err := uuid.Parse(v)
	if err != nil || id.String() != v {
		return errors.New("must be a lower-case UUID, such as 95b11417-f18f-457f-8804-68e361f9164f")
	}
	return nil
}

// checkText accepts whatever can be compared with a claim: an issuer, an audience, a type.
func checkText(v string) error {
	switch {
	case v == "":
		return errEmpty
	case strings.TrimSpace(v) != v:
		return errors.New("must not begin or end with a space")
	case strings.ContainsFunc(v, isControl):
		return errors.New("must not hold control characters")
	case !utf8.ValidString(v): // no claim is, and no label of a metric
		return errors.New("must be UTF-8")
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// algorithms are the asymmetric signature algorithms of RFC 7518 and RFC 8037.
var algorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func checkAlgorithm(v string) error {
	switch {
	case slices.Contains(algorithms, v):
		return nil
	case strings.HasPrefix(strings.ToUpper(v), "HS"):
		return fmt.Errorf("%s is never accepted: whoever can check such a signature can also make it; known: %s",
			v, strings.Join(algorithms, ", "))
	}
	return fmt.Errorf("unknown algorithm %q; known: %s", v, strings.Join(algorithms, ", "))
}

// checkScope accepts one scope-token (RFC 6749 section 3.3).
func checkScope(v string) error {
	if strings.Contains(v, " ") {
		return fmt.Errorf("malformed scope %q: a scope has no space; name several one by one", v)
	}
	if _, err := verifier.ParseScopes(v); err != nil {
		return fmt.Errorf("malformed scope %q: %w", v, err)
	}
	return nil
}

// checkACR accepts what can stand in acr_values, which are separated by spaces and quoted.
func checkACR(v string) error {
	if checkScope(v) != nil {
		return fmt.Errorf("%q is no acr value: printable ASCII without spaces, quotes and backslashes", v)
	}
	return nil
}

// checkToken accepts a token of RFC 9110 section 5.6.2: the name of a header, a
// cookie (RFC 6265), a method or an authentication scheme.
func checkToken(v string) error {
	if v == "" {
		return errEmpty
	}
	for _, r := range v {
		alphanumeric := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return fmt.Errorf("%q cannot stand in a name", r)
		}
	}
	return nil
}

var method = regexp.MustCompile(`^[A-Z][A-Z0-9_-]*$`)

// checkMethod wants the upper case of the registered methods: methods are compared by case.
func checkMethod(v string) error {
	if !method.MatchString(v) {
		return fmt.Errorf("%q is no method; methods are written in upper case", v)
	}
	return nil
}

var queryParameter = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,64}$`)

func checkQueryParameter(v string) error {
	if !queryParameter.MatchString(v) {
		return fmt.Errorf("%q is no parameter name: 1 to 64 letters, digits, '.', '_', '~' and '-'", v)
	}
	return nil
}

// checkOrigin accepts an origin exactly as a browser writes it, because that is how it is compared.
func checkOrigin(v string) error {
	const like = "such as https://app.example.com"
	switch {
	case v == "":
		return errEmpty
	case v == "*":
		return errors.New("* would let every website act for the user; name each origin, " + like)
	case v == "null":
		return errors.New("null is what any sandboxed page sends; name each origin, " + like)
	case strings.Contains(v, "@"):
		return errors.New("must be an origin without user and password, " + like)
	}
	u, err := url.Parse(v)
	if err != nil || u.Hostname() == "" || u.Scheme+"://"+u.Host != v {
		return fmt.Errorf("%q is no origin: scheme, host and port alone, %s", v, like)
	}
	if strings.ToLower(v) != v || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '*' }) {
		return fmt.Errorf("%q is not as a browser writes it: lower case, no wildcard, international names in their xn-- form", v)
	}
	if isDefaultPort(u) || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("%q is not as a browser writes it: leave the port out", v)
	}
	return nil
}

func isDefaultPort(u *url.URL) bool {
	return u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80"
}

// checkURL accepts what [checkRemoteURL] accepts in one case or the other.
func checkURL(v string) error { return checkRemoteURL(v, true) }

// checkRemoteURL accepts https, http on loopback, and with insecure any http.
func checkRemoteURL(v string, insecure bool) error {
	if v == "" {
		return errEmpty
	}
	u, err := url.Parse(v)
	if err != nil {
		return errors.New("is no valid URL") // the error of url.Parse repeats the value
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("must be an absolute https URL")
	case u.User != nil:
		return errors.New("must not hold a user or a password")
	case u.Fragment != "" || strings.Contains(v, "#"):
		return errors.New("must not hold a fragment")
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return errors.New("must be https, because whoever is on the way could put in keys of their own (insecure_http allows it)")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// durations are the bounds of a duration.
type durations struct{ min, max time.Duration }

func (b durations) check(v caddy.Duration) error {
	if d := time.Duration(v); d < b.min || d > b.max {
		return fmt.Errorf("must be between %s and %s, not %s", brief(b.min), brief(b.max), brief(d))
	}
	return nil
}

// brief writes a duration as people do: 24h, not 24h0m0s.
func brief[D ~int64](v D) string {
	s := time.Duration(v).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizes are the bounds of a number of bytes.
type sizes struct{ min, max int64 }

func (b sizes) check(v int64) error {
	if v < b.min || v > b.max {
		return fmt.Errorf("must be between %s and %s", humanize.IBytes(uint64(b.min)), humanize.IBytes(uint64(b.max))) //nolint:gosec // bounds are positive
	}
	return nil
}

// in says in which field err was found.
func in(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}
