package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A fetcher gets a JWK Set over HTTP, within the bounds of its config.
type fetcher struct {
	cfg      RemoteConfig
	client   http.Client // each request goes through a copy, which has redirects stay on its host
	url      *url.URL    // of the set; nil where it is discovered
	metadata []*url.URL  // where the issuer may say what it is, in the order of asking
}

func newFetcher(cfg RemoteConfig) (fetcher, error) {
	f := fetcher{cfg: cfg, client: http.Client{Transport: ownTransport()}}
	if cfg.Client != nil {
		f.client = *cfg.Client
	}
	if cfg.MinRefresh > cfg.MaxRefresh {
		return f, errors.New("the least refresh interval is longer than the longest, or than half of what a set serves for")
	}
	var err error
	switch {
	case cfg.Discovery && cfg.URL != "":
		err = errors.New("both a URL is given and discovery asked for; choose one")
	case cfg.Discovery:
		f.metadata, err = metadataURLs(cfg.Issuer, cfg.InsecureHTTP)
	default:
		f.url, err = keysURL("the URL", cfg.URL, cfg.ShownURL, cfg.InsecureHTTP)
	}
	return f, err
}

// source names where the keys come from, as far as the config says.
func (f fetcher) source() *url.URL {
	if f.url == nil {
		return f.metadata[0]
	}
	return f.url
}

// shown is what errors say of u: what the config wants of its own URL, which may hold a secret.
func (f fetcher) shown(u *url.URL) string {
	if u == f.url {
		return cmp.Or(f.cfg.ShownURL, plainURL(u))
	}
	return plainURL(u)
}

// keysURL parses text, and refuses a URL over which somebody on the way could choose the
// keys. Its error calls it what, and says shown of it, or where that is empty, the URL without
// credentials and query.
func keysURL(what, text, shown string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s does not parse", what)
	case u.User != nil:
		return nil, fmt.Errorf("%s holds credentials; a JWK Set is public", what)
	case u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%s %s is not an absolute https URL", what, quoted(cmp.Or(shown, plainURL(u))))
	case strings.Contains(text, "#"):
		return nil, fmt.Errorf("%s holds a fragment, which no server is told of", what)
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("%s %s is http, so anybody on the way could replace the keys; use https", what, quoted(cmp.Or(shown, plainURL(u))))
	}
	return u, nil
}

// ownTransport is the default one, and so goes through the proxy of the environment,
// but keeps no connection, and no goroutine with it, between fetches that are minutes apart.
func ownTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// isLoopback goes by the address. Of names only localhost counts: any other may resolve
// to whatever its owner likes.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// fetch returns the set and how long it is fresh. Where it is discovered, the metadata is
// asked each time, so that an issuer may move its set; how long that may be kept is of no
// interest. ctx bounds both.
func (f fetcher) fetch(ctx context.Context) (*StaticKeySet, time.Duration, error) {
	u, err := f.locate(ctx)
	if err != nil {
		return nil, 0, err
	}
	body, header, err := f.get(ctx, u, "application/jwk-set+json, application/json")
	if err != nil {
		return nil, 0, fmt.Errorf("fetching keys from %s: %w", f.shown(u), err)
	}
	keys, err := parseKeySet(body, f.cfg.MaxKeys)
	if err != nil {
		return nil, 0, fmt.Errorf("fetching keys from %s: %w", f.shown(u), err)
	}
	return keys, f.freshFor(header), nil
}

// get returns what u holds, if the answer is 200 and within bounds.
func (f fetcher) get(ctx context.Context, u *url.URL, accept string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", accept)
	req.Close = true // the next fetch is minutes away
	resp, err := clientFor(f.client, u).Do(req)
	if err != nil {
		return nil, nil, inShort(withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, statusError(resp.StatusCode)
	}
	// The transport has decompressed by here, so this bounds what a small body can grow to.
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.cfg.MaxBytes+1))
	if err != nil {
		return nil, nil, inShort(err)
	}
	if int64(len(body)) > f.cfg.MaxBytes {
		return nil, nil, fmt.Errorf("response is larger than %d bytes", f.cfg.MaxBytes)
	}
	return body, resp.Header, nil
}

// A statusError is the status of an answer that is not 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status is %d, not 200", int(e)) }

// withoutURL drops what net/http puts around an error: the URL, which may hold a secret.
func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// freshFor returns the refresh interval that a response asks for (RFC 9111 section
// 5.2.2), within bounds.
func (f fetcher) freshFor(h http.Header) time.Duration {
	fresh := f.cfg.DefaultRefresh
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-cache", "no-store":
			return f.cfg.MinRefresh
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err == nil || errors.Is(err, strconv.ErrRange) { // too many are as many as fit
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return max(f.cfg.MinRefresh, min(fresh, f.cfg.MaxRefresh))
}
