package caddymodule

import (
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

var stepUpLines = lines[StepUp]{
	"default":     {min: 1, max: 1, set: setDefault},
	"openapi":     text(func(s *StepUp) *string { return &s.OpenAPI }, checkText),
	"max_age":     duration(func(s *StepUp) *caddy.Duration { return &s.MaxAge }, maxAgeBounds),
	"acr":         list(func(s *StepUp) *[]string { return &s.ACR }, checkACR),
	"report_only": flag(func(s *StepUp) *bool { return &s.ReportOnly }),
}

func setDefault(s *StepUp, args []string) error {
	s.Default = args[0]
	return s.checkDefault()
}

// UnmarshalCaddyfile reads the handler from Caddyfile tokens. It has two forms:
//
//	step_up [<matcher>] {
//		[<METHOD>] <pattern> <scope...> | - | deny
//		default deny | session
//		openapi <file>
//		max_age <duration>
//		acr     <value...>
//		report_only
//	}
//
//	step_up [<matcher>] <scope...> {
//		max_age <duration>
//		acr     <value...>
//		report_only
//	}
func (s *StepUp) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the directive
	start := *d
	s.Scopes = d.RemainingArgs()
	if slices.Contains(s.Scopes, "-") || slices.Contains(s.Scopes, unmatchedDeny) {
		return d.Err("'-' and 'deny' belong into a table of routes; here stand the scopes that every request needs")
	}
	if err := checkEach(s.Scopes, checkScope); err != nil {
		return d.WrapErr(err)
	}
	var places []caddyfile.Dispenser // of the routes
	err := stepUpLines.parse(d, s, func(d *caddyfile.Dispenser) error {
		places = append(places, *d)
		return s.parseRoute(d)
	})
	if err != nil {
		return err
	}
	if err := s.validate(); err != nil {
		return start.WrapErr(err)
	}
	return s.checkConflicts(places)
}

// checkConflicts compiles what is written of the table, and says in which line it can no
// longer be compiled. A document is read when the config is provisioned: `caddy adapt`
// may run where it is not.
func (s *StepUp) checkConflicts(places []caddyfile.Dispenser) error {
	if len(places) == 0 {
		return nil
	}
	_, err := s.compileTable(nil)
	if err == nil {
		return nil
	}
	first := sort.Search(len(places)-1, func(i int) bool {
		_, err := (&StepUp{Routes: s.Routes[:i+1]}).compileTable(nil)
		return err != nil
	})
	return places[first].WrapErr(err)
}

// parseRoute reads one line of the table.
func (s *StepUp) parseRoute(d *caddyfile.Dispenser) error {
	var r StepUpRoute
	if !strings.HasPrefix(d.Val(), "/") {
		r.Method = d.Val()
		if checkMethod(r.Method) != nil {
			return d.Errf("'%s' is neither a method, in upper case, nor a path, nor one of: %s", r.Method, stepUpLines.names())
		}
		if !d.NextArg() {
			return d.ArgErr()
		}
	}
	r.Pattern = plainPattern(d.Val())
	needs := d.RemainingArgs()
	switch {
	case len(needs) == 0:
		return d.ArgErr()
	case len(needs) > 1 && (slices.Contains(needs, "-") || slices.Contains(needs, unmatchedDeny)):
		return d.Errf("%s: '-' and 'deny' stand alone, in the place of scopes", r.Pattern)
	case needs[0] == "-":
		r.Session = true
	case needs[0] == unmatchedDeny:
		r.Deny = true
	default:
		r.Scopes = needs
	}
	if err := r.validate(); err != nil {
		return d.WrapErr(err)
	}
	s.Routes = append(s.Routes, r)
	return nil
}

// plainPattern undoes what Caddy does to some wildcards before a directive sees
// them: it takes {file}, {host}, {path}, {uuid} and others for short names of
// placeholders, and writes {http.request.uri.path.file} and the like instead. A
// placeholder that nobody can have meant for a wildcard stays, and is refused.
func plainPattern(v string) string {
	return placeholder.ReplaceAllStringFunc(v, func(long string) string {
		parts := strings.Split(strings.Trim(long, "{}"), ".")
		for i := range parts {
			if short := "{" + strings.Join(parts[i:], "_") + "}"; writtenOut(short) == long {
				return short
			}
		}
		for _, short := range shortNames {
			if writtenOut(short) == long {
				return short
			}
		}
		return long
	})
}

// shortNames are those whose long ones do not end in them.
var shortNames = []string{
	"{orig_path}", "{orig_dir}", "{orig_file}", "{orig_query}", "{tls_cipher}", "{re...}", "{rp...}", "{resp...}", "{err...}",
}

// shorthands compiles what it needs once, not for each wildcard of a table.
var shorthands = sync.OnceValue(httpcaddyfile.NewShorthandReplacer)

// writtenOut is what Caddy makes of a short name.
func writtenOut(short string) string {
	segment := caddyfile.Segment{{Text: short}}
	shorthands().ApplyToSegment(&segment)
	return segment[0].Text
}

// Interface guard
var _ caddyfile.Unmarshaler = (*StepUp)(nil)
