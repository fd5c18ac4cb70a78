package caddymodule

import (
	"cmp"
	"fmt"
)

// What becomes of a stream whose session ends.
const (
	streamToken     = "token"
	streamUnlimited = "unlimited"
)

func (g *Gate) setDefaults() {
	g.TokenHeader.Name = cmp.Or(g.TokenHeader.Name, defaultHeader)
	if foldName(g.TokenHeader.Name) == "authorization" {
		g.TokenHeader.Scheme = cmp.Or(g.TokenHeader.Scheme, "Bearer")
	}
	g.StreamLifetime = cmp.Or(g.StreamLifetime, streamToken)
}

// validate returns an error, which names the field, for whatever can be wrong
// with g alone. Defaults need not be set.
func (g *Gate) validate() error {
	err := cmp.Or(
		g.validateHeaders(),
		in("allow_path", checkEach(g.AllowPath, checkPathClass)),
		g.checkBeside(),
	)
	if g.Environment != "" {
		err = cmp.Or(err, in("environment", checkEnvironmentName(g.Environment)))
	}
	if g.AllowQuery != "" {
		err = cmp.Or(err, in("allow_query", checkQueryParameter(g.AllowQuery)))
	}
	if g.StreamLifetime != "" {
		err = cmp.Or(err, in("stream_lifetime", checkStreamLifetime(g.StreamLifetime)))
	}
	return err
}

// validateHeaders judges each header that the gate sets.
func (g *Gate) validateHeaders() error {
	return cmp.Or(
		in("token_header", g.checkHeaders("token_header")),
		in("elevated_header", g.checkHeaders("elevated_header")),
		in("claim_header", g.checkHeaders("claim_header")),
	)
}

// checkHeaders judges the headers of one field: that the gate may set them, and
// that none of them is, to one upstream or another, the same as any other header that it sets.
func (g *Gate) checkHeaders(field string) error {
	all := g.managedHeaders()
	for i, h := range all {
		if h.field != field {
			continue
		}
		if err := cmp.Or(checkManagedHeader(h.name), h.check()); err != nil {
			return err
		}
		for j, other := range all {
			if i != j && foldName(other.name) == foldName(h.name) {
				return fmt.Errorf("%s is %s too: letter case does not count, and '_' and '.' pass for '-'", h.name, other)
			}
		}
	}
	return nil
}

// managedHeader is a header that the gate sets, and what it sets it from.
type managedHeader struct{ field, name, from string }

func (h managedHeader) String() string { return h.field + " " + h.name }

// check judges what the header is set from.
func (h managedHeader) check() error {
	switch {
	case h.field == "claim_header":
		return in("claim of "+h.name, checkText(h.from))
	case h.from != "":
		return in("scheme", checkToken(h.from))
	}
	return nil
}

func (g *Gate) managedHeaders() []managedHeader {
	hs := []managedHeader{{"token_header", cmp.Or(g.TokenHeader.Name, defaultHeader), g.TokenHeader.Scheme}}
	if g.ElevatedHeader != "" {
		hs = append(hs, managedHeader{field: "elevated_header", name: g.ElevatedHeader})
	}
	for _, h := range g.ClaimHeaders {
		hs = append(hs, managedHeader{"claim_header", h.Name, h.Claim})
	}
	return hs
}

// validateWith holds g against the environment that opens it.
func (g *Gate) validateWith(e *Environment) error {
	if !g.KeepExternal {
		return nil
	}
	for _, h := range g.managedHeaders() {
		if foldName(h.name) == foldName(cmp.Or(e.Header, defaultHeader)) {
			return fmt.Errorf("keep_external: %s carries the external JWT and is %s too; one of them needs another name", e.Header, h)
		}
	}
	return nil
}

func checkPathClass(v string) error {
	_, err := parsePathClasses([]string{v})
	return err
}

func checkStreamLifetime(v string) error {
	if v != streamToken && v != streamUnlimited {
		return fmt.Errorf("must be %s or %s, not %q", streamToken, streamUnlimited, v)
	}
	return nil
}
