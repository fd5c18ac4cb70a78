package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"text/template"
)

// A site is one of several that a gateway serves, with an upstream of its own behind it.
type site struct {
	*gateway
	environment string // id
}

const secondEnvironmentID = "0d7b4a52-36d5-4d5b-8f5e-6e8f7c1a2b90"

// twoSites is a Caddyfile with two environments that trust one login system, each with a
// site of its own: the first one answers to any name.
func twoSites(i *issuer, firstUpstream, secondUpstream, changed string) *template.Template {
	text := `{
	admin {{.Admin}}
	debug
	grace_period 5s
	log {
		output file {{.Logs}}/caddy.log
		level DEBUG
		format byoa
	}
	byoa {` + environmentOf(i, "first", environmentID, "") + environmentOf(i, "second", secondEnvironmentID, changed) + `
	}
}
` + siteOf("", "first", firstUpstream) + siteOf("second.localhost", "second", secondUpstream)
	return template.Must(template.New("two sites").Parse(text))
}

// audienceOf is what tells the tokens for one environment from those for the other.
func audienceOf(environment string) string { return "https://" + environment + ".example.test" }

func environmentOf(i *issuer, name, id, changed string) string {
	return fmt.Sprintf(`
		environment %[1]s {
			id %[2]s
			issuer %[3]s
			jwks_url %[4]s
			audience %[5]s
			assertion {
				type %[6]s
				audience %[1]s-step-up
			}
			scope wallet:export
			%[7]s
		}`, name, id, issuerName, i.jwksURL(), audienceOf(name), stepUpType, changed)
}

func siteOf(host, environment, upstream string) string {
	return fmt.Sprintf(`
http://%[1]s:{{.Port}} {
	bind 127.0.0.1
	log {
		output file {{.Logs}}/access-%[2]s.log
		format byoa
	}
	byoa_api {
		environment %[2]s
	}
	byoa %[2]s {
		claim_header X-User user_id
	}
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/export wallet:export
	}
	reverse_proxy %[3]s
}
`, host, environment, upstream)
}

// startTwoSites starts a gateway with two environments.
func startTwoSites(t *testing.T) (first, second site) {
	t.Helper()
	i := startIssuer(t, newSecrets())
	behind := startUpstream(t, i.secrets)
	g := prepareGateway(t, i, config{})
	g.config.caddyfile = twoSites(i, g.upstream.url, behind.url, "")
	g.start(t)
	_, port, _ := net.SplitHostPort(g.address)
	other := &gateway{
		issuer: i, upstream: behind, secrets: i.secrets, address: g.address, host: net.JoinHostPort("second.localhost", port),
	}
	return site{g, environmentID}, site{other, secondEnvironmentID}
}

// change reloads the config of both with another second environment.
func (s site) change(t *testing.T, second site, line string) {
	t.Helper()
	s.config.caddyfile = twoSites(s.issuer, s.upstream.url, second.upstream.url, line)
	s.reload(t)
}

// external is a token of user-1 for the audiences of these environments.
func external(t *testing.T, i *issuer, environments ...string) string {
	t.Helper()
	var audiences []string
	for _, name := range environments {
		audiences = append(audiences, audienceOf(name))
	}
	return i.token(t, claims{"aud": audiences})
}

// permission is an assertion for one environment.
func permission(t *testing.T, i *issuer, environment string) string {
	t.Helper()
	return i.assertion(t, "wallet:export", claims{"aud": environment + "-step-up"})
}

func (s site) ask(t *testing.T, endpoint string, body claims, credential string) *answer {
	t.Helper()
	r := postJSON("/api/v0/sdk/"+s.environment+endpoint, body)
	if credential != "" {
		r = r.bearer(credential)
	}
	return s.send(t, r)
}

func (s site) session(t *testing.T, external string) string {
	t.Helper()
	a := s.ask(t, "/externalAuth/signin", claims{"jwt": external}, "")
	if a.status != http.StatusOK || a.text("minifiedJwt") == "" {
		t.Fatalf("signing in: got %v, want 200 with minifiedJwt", a)
	}
	return a.text("minifiedJwt")
}

func (s site) proof(t *testing.T, credential, assertion string) string {
	t.Helper()
	a := s.ask(t, "/externalAuth/verify", claims{"jwt": assertion}, credential)
	if a.status != http.StatusOK || a.text("elevatedAccessToken") == "" {
		t.Fatalf("exchanging an assertion: got %v, want 200 with elevatedAccessToken", a)
	}
	return a.text("elevatedAccessToken")
}
