package verifier

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const maxRedirects = 3

var defaultPorts = map[string]string{"https": "443", "http": "80"}

// clientFor returns a copy of c for a request to u, the redirects of which stay there.
func clientFor(c http.Client, u *url.URL) *http.Client {
	c.CheckRedirect = stayOn(u)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = readableRedirects{c.Transport}
	return &c
}

// stayOn follows redirects within one scheme, host and port only: the issuer vouches for
// its own server, not for wherever that points.
func stayOn(u *url.URL) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		to := r.URL
		switch {
		case !strings.EqualFold(to.Hostname(), u.Hostname()):
			return fmt.Errorf("redirected to another host, %s", quoted(to.Host))
		case to.Scheme != u.Scheme:
			return fmt.Errorf("redirected from %s to %s", u.Scheme, quoted(to.Scheme))
		case portOf(to) != portOf(u):
			return fmt.Errorf("redirected to another host, %s", quoted(to.Host))
		case to.User != nil:
			return errors.New("redirected to a URL that holds credentials; a JWK Set is public")
		case len(via) > maxRedirects:
			return errors.New("redirected too often")
		}
		return nil
	}
}

func portOf(u *url.URL) string { return cmp.Or(u.Port(), defaultPorts[u.Scheme]) }

// readableRedirects is a transport that refuses a Location which does not parse, before
// net/http does so in an error that holds all of it.
type readableRedirects struct{ http.RoundTripper }

func (t readableRedirects) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if _, err := r.URL.Parse(resp.Header.Get("Location")); resp.StatusCode/100 == 3 && err != nil {
		_ = resp.Body.Close()
		return nil, errors.New("the response has a Location that does not parse")
	}
	return resp, nil
}
