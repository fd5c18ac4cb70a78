package verifier

import (
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

const maxRedirects = 3

// A fetcher gets a JWK Set over HTTP, within the bounds of its config.
type fetcher struct {
	url    *url.URL
	client *http.Client
	cfg    RemoteConfig
}

// newFetcher refuses a URL over which somebody on the way could choose the keys.
func newFetcher(cfg RemoteConfig) (fetcher, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return fetcher{}, errors.New("the URL does not parse")
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fetcher{}, fmt.Errorf("the URL %q is not an absolute https URL", plainURL(u))
	case u.User != nil:
		return fetcher{}, errors.New("the URL holds credentials; a JWK Set is public")
	case u.Scheme == "http" && !cfg.InsecureHTTP && !isLoopback(u.Hostname()):
		return fetcher{}, fmt.Errorf("the URL %q is http, so anybody on the way could replace the keys; use https", plainURL(u))
	}
	if cfg.MinRefresh > cfg.MaxRefresh {
		return fetcher{}, errors.New("the least refresh interval is longer than the longest, or than half of what a set serves for")
	}
	client := http.Client{Transport: ownTransport()}
	if cfg.Client != nil {
		client = *cfg.Client
	}
	client.CheckRedirect = stayOn(u)
	return fetcher{url: u, client: &client, cfg: cfg}, nil
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

// stayOn follows redirects within one scheme and host only: the issuer vouches for
// its own server, not for wherever that points.
func stayOn(u *url.URL) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != u.Scheme || r.URL.Host != u.Host {
			return fmt.Errorf("redirected to another host, %q", r.URL.Host)
		}
		if len(via) > maxRedirects {
			return errors.New("redirected too often")
		}
		return nil
	}
}

// fetch returns the set and how long it is fresh.
func (f fetcher) fetch(ctx context.Context) (*StaticKeySet, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Close = true // the next fetch is minutes away
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, 0, withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("status is %d, not 200", resp.StatusCode)
	}
	// The transport has decompressed by here, so this bounds what a small body can grow to.
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.cfg.MaxBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(body)) > f.cfg.MaxBytes {
		return nil, 0, fmt.Errorf("response is larger than %d bytes", f.cfg.MaxBytes)
	}
	keys, err := parseKeySet(body, f.cfg.MaxKeys)
	return keys, f.freshFor(resp.Header), err
}

// withoutURL drops what net/http puts around an error: the URL, whose query may be secret.
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
