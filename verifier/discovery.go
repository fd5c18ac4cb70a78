package verifier

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxURLBytes bounds what metadata may give for a URL.
const maxURLBytes = 2048

// metadataURLs returns where an issuer publishes its metadata: by OpenID Connect Discovery
// 1.0 section 4, with the well-known path after that of the issuer, and by RFC 8414 section
// 3.1, with it before. They are built from the text, in which a path may be escaped.
func metadataURLs(issuer string, insecure bool) ([]*url.URL, error) {
	u, err := keysURL("the issuer", issuer, "", insecure)
	if err != nil {
		return nil, err
	}
	if strings.Contains(issuer, "?") {
		return nil, errors.New("the issuer holds a query, so it has no metadata")
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	var all []*url.URL
	for _, text := range []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	} {
		at, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("the issuer does not parse")
		}
		all = append(all, at)
	}
	return all, nil
}

// locate returns where the set is.
func (f fetcher) locate(ctx context.Context) (*url.URL, error) {
	if f.url != nil {
		return f.url, nil
	}
	found, err := f.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("discovering where the keys are: %w", err)
	}
	return found, nil
}

// discover asks one place after the other, and goes on where there is nothing. It does not
// go on after any other failure: an outage must not decide which of two documents counts,
// and one that is wrong is a mistake to be seen, not to be passed over.
func (f fetcher) discover(ctx context.Context) (*url.URL, error) {
	var nothing []string
	for _, u := range f.metadata {
		body, _, err := f.get(ctx, u, "application/json")
		if status := statusError(0); errors.As(err, &status) && status.isNothingHere() {
			nothing = append(nothing, fmt.Sprintf("%s: %v", u, err))
			continue
		}
		var found *url.URL
		if err == nil {
			found, err = f.readMetadata(body)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u, err)
		}
		return found, nil
	}
	return nil, errors.New("the issuer has no metadata: " + strings.Join(nothing, "; "))
}

// isNothingHere reports whether a server says that it has no such document, in any of the
// ways in which servers do (RFC 9110 section 15.5), and not that it has no time.
func (e statusError) isNothingHere() bool {
	switch int(e) {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return e >= 400 && e < 500
}

// readMetadata returns the JWK Set that the metadata names. That may be on any host; whoever
// is on the way there must not be able to choose the keys, as with a URL that is configured.
func (f fetcher) readMetadata(body []byte) (*url.URL, error) {
	metadata, err := decodeObject(body)
	if err != nil {
		return nil, fmt.Errorf("the metadata %w", err)
	}
	// Without this, whoever may put a document there could speak for the issuer (RFC 8414
	// sections 3.3 and 6.2).
	if issuer, _ := metadata["issuer"].(string); issuer != f.cfg.Issuer {
		return nil, fmt.Errorf("the metadata is of the issuer %s, not %s", quoted(issuer), quoted(f.cfg.Issuer))
	}
	text, _ := metadata["jwks_uri"].(string)
	if text == "" {
		return nil, errors.New("the metadata names no jwks_uri")
	}
	if len(text) > maxURLBytes { // it is to stand in errors, whole
		return nil, fmt.Errorf("jwks_uri is longer than %d bytes", maxURLBytes)
	}
	u, err := keysURL("jwks_uri", text, "", f.cfg.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	// Plain http on loopback is for whoever runs the issuer there. One that is asked over
	// https has no business on the loopback of this machine.
	if u.Scheme == "http" && f.source().Scheme == "https" && !f.cfg.InsecureHTTP {
		return nil, fmt.Errorf("jwks_uri %s is http, though the issuer is https", quoted(plainURL(u)))
	}
	return u, nil
}
