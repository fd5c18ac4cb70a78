package caddymodule

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// keySource names where the keys come from, the same for two providers that read the same
// ones. Where two spellings are one to some servers and two to others, they count as one.
// One file under two names is for [Provider.sharesKeys] to see.
func (p *Provider) keySource() string {
	if p.JWKSFile != "" {
		path, err := filepath.Abs(p.JWKSFile)
		if err != nil {
			path = filepath.Clean(p.JWKSFile)
		}
		return "file " + path
	}
	u, err := url.Parse(p.JWKSURL)
	if err != nil {
		return p.JWKSURL
	}
	u.Host = net.JoinHostPort(sameHost(u.Hostname()), cmp.Or(u.Port(), defaultPorts[u.Scheme]))
	u.RawPath, u.ForceQuery = "", false // escapes that need not be there, and a query of nothing
	u.RawQuery = sameQuery(u.RawQuery)
	return u.JoinPath("/").String()
}

var defaultPorts = map[string]string{"https": "443", "http": "80"}

// sameHost spells a host as every other spelling of it that net/http takes to the same place.
// What leads to this machine is one host: who listens on one such address mostly does on all.
func sameHost(host string) string {
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3
		return "localhost"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() || addr.IsUnspecified() {
		return "localhost"
	}
	return addr.String()
}

// sameQuery spells a query as every other one of the same parameters. One that does not
// parse is left alone.
func sameQuery(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return query
	}
	return values.Encode()
}

// lookTimeout is how long the file system may take to say what jwks_file is.
const lookTimeout = 5 * time.Second

// lookAtFile finds out what file JWKSFile names, without opening it. Where there is none it
// is no error: a config may be checked on another machine than it runs on.
func (p *Provider) lookAtFile() error {
	found := make(chan os.FileInfo, 1)
	go func() {
		info, _ := os.Stat(p.JWKSFile) // nil with any error
		found <- info
	}()
	timer := time.NewTimer(lookTimeout)
	defer timer.Stop()
	select {
	case p.file = <-found:
		return nil
	case <-timer.C:
		return errors.New("the file system that it lies on does not answer")
	}
}
