package e2e_test

import (
	"strings"
	"testing"
	"text/template"
)

const (
	environmentID = "95b11417-f18f-457f-8804-68e361f9164f"
	apiPath       = "/api/v0/sdk/" + environmentID
)

// A config is what a test wants otherwise than in the Caddyfile below. The fields
// are lines of a Caddyfile; an empty one leaves the default.
type config struct {
	Global      string // further global options
	Trust       string // of the environment: whose tokens it takes; the login system's, if empty
	Environment string // further lines of the environment
	Assertion   string // of its assertion block
	Exchange    string
	Store       string
	Gate        string // of the byoa block
	Guarded     string // what step_up matches
	Table       string // of the step_up block
	Site        string // further lines of the site
	Upstream    string // URL
	LogFormat   string // of the access log
	NoCookie    bool   // no external JWT is read from a cookie

	caddyfile *template.Template // instead of the one below
	issuer    *issuer
	environ   []string // further variables, as in os.Environ
	dir       string   // data and config directory; another gateway's, to share its store
}

// A placement is a config with the addresses and paths of one start.
type placement struct {
	config
	ID                         string
	Admin, Address, Port, Logs string
}

var caddyfile = template.Must(template.New("Caddyfile").Parse(`{
	admin {{.Admin}}
	debug
	grace_period 5s
	{{.Global}}
	log {
		output file {{.Logs}}/caddy.log
		level DEBUG
		format byoa
	}
	byoa {
		environment production {
			id {{.ID}}
			{{.Trust}}
			{{if not .NoCookie}}cookie_name session_jwt{{end}}
			assertion {
				{{.Assertion}}
			}
			scope wallet:export
			scope wallet:sign {
				multi_use
				lifetime 10m
			}
			scope wallet:brief {
				lifetime 1s
			}
			exchange local {
				{{.Exchange}}
			}
			{{.Store}}
			{{.Environment}}
		}
	}
}

http://:{{.Port}} {
	bind 127.0.0.1
	log {
		output file {{.Logs}}/access.log
		format {{.LogFormat}}
	}
	byoa_api
	byoa {
		{{.Gate}}
	}
	step_up {{.Guarded}} {
		{{.Table}}
	}
	reverse_proxy {{.Upstream}}
	{{.Site}}
}
`))

const defaultTable = `
		GET  /wallets/{id}          -
		POST /wallets/{id}          -
		GET  /stream                -
		POST /wallets/{id}/export   wallet:export
		POST /wallets/{id}/sign     wallet:sign
		POST /wallets/{id}/brief    wallet:brief
		POST /wallets/{id}/transfer wallet:export wallet:sign
		/admin/                     deny
		default deny`

// render writes the Caddyfile.
func (p placement) render(t testing.TB) string {
	t.Helper()
	p.ID = environmentID
	if p.Trust == "" {
		p.Trust = trust(issuerName, "jwks_url "+p.issuer.jwksURL())
	}
	if p.Assertion == "" {
		p.Assertion = "type " + stepUpType
	}
	if p.LogFormat == "" {
		p.LogFormat = "byoa"
	}
	if p.Table == "" {
		p.Table = defaultTable
	}
	if p.caddyfile == nil {
		p.caddyfile = caddyfile
	}
	var b strings.Builder
	if err := p.caddyfile.Execute(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// trust is lines of a Caddyfile: an issuer, where its keys are, and our audience.
func trust(issuer, keys string) string {
	return "issuer " + issuer + "\n" + keys + "\naudience " + audienceName
}
