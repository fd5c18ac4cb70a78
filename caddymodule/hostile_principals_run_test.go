package caddymodule_test

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A principal is one of many who ask at the same time. There are two of each name, of two
// login systems: whoever goes by the name alone takes one for the other.
type principal struct {
	number int
	issuer *verifiertest.Issuer
	name   string
	leaves bool // asks once more, and goes away before the answer

	external string
	sid      string // of the session, where the principal has signed in
	request  request
}

const principalsSite = `byoa_api
	byoa {
		claim_header X-User-Id     user_id
		claim_header X-External-Id external_id
		claim_header X-Issuer      iss
		claim_header X-Session     session
		claim_header X-Own         own
	}
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/export wallet:export
	}
	reverse_proxy {{upstream}} {
		transport http {
			dial_timeout 1m # a slow machine has hundreds of connections to begin at once
		}
	}`

// startPrincipals runs a gateway that believes two login systems.
func startPrincipals(t *testing.T) (g *running, second *verifiertest.Issuer) {
	t.Helper()
	g, second = prepare(t), verifiertest.NewIssuer(t)
	g.load("environment"+g.policy(
		"cookie_name ext", "session {\ncookie "+sessionCookie+"\n}",
		"provider "+second.URL()+" {\njwks_url "+second.JWKSURL()+"\naudience "+audience+"\n}",
	), principalsSite)
	return g, second
}

func newPrincipal(g *running, second *verifiertest.Issuer, number int) *principal {
	p := &principal{number: number, issuer: g.issuer, name: "user-" + strconv.Itoa(number/2), leaves: number%3 == 0}
	if number%2 == 1 {
		p.issuer = second
	}
	p.external = p.issuer.Token(map[string]any{"sub": p.name, "aud": audience, "own": p.number})
	return p
}

// A caller sends requests over connections that all share.
type caller struct {
	g    *running
	http *http.Client
}

func newCaller(g *running, connections int) *caller {
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &caller{g, &http.Client{Transport: transport}}
}

func (c *caller) call(r request) (response, error) {
	req, err := c.g.newRequest(r)
	if err != nil {
		return response{}, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return response{}, err
	}
	return readResponse(res)
}

// prepare decides how the principal asks, and signs them in where that needs a session.
// It is a part of the load.
func (p *principal) prepare(c *caller) error {
	token := p.external
	way := p.number / 2 % 6
	if way >= 3 {
		got, err := c.call(posted("/externalAuth/signin", request{body: bodyOf(p.external)}))
		cookies := (&http.Response{Header: got.header}).Cookies()
		if err != nil || got.status != 200 || len(cookies) != 1 {
			return errors.Join(fmt.Errorf("signing in: %d %s", got.status, got.code), err)
		}
		token = cookies[0].Value
		p.sid, _ = got.body["user"].(map[string]any)["sessionId"].(string)
	}
	p.request = request{path: "/wallets/1", bearer: token}
	switch way {
	case 1:
		p.request = request{path: "/wallets/1", cookie: "ext=" + token}
	case 4:
		p.request = request{path: "/wallets/1", cookie: sessionCookie + "=" + token}
	case 2, 5:
		assertion := p.issuer.Assertion(p.name, "wallet:export", map[string]any{"jti": rand.Text(), "exp": time.Now().Add(50 * time.Minute).Unix()})
		p.request = request{method: "POST", path: "/wallets/1/export", bearer: token, assertion: assertion}
	}
	p.request.header = http.Header{"X-Number": {strconv.Itoa(p.number)}}
	return nil
}

// ask sends what the principal has to ask, and again, when what they brought may be remembered.
func (p *principal) ask(c *caller) error {
	if err := p.prepare(c); err != nil {
		return err
	}
	var left sync.WaitGroup
	if p.leaves {
		left.Go(func() { p.leave(c.g.address) })
	}
	defer left.Wait()
	for range 2 {
		got, err := c.call(p.request)
		if err != nil || got.status != 200 {
			return errors.Join(fmt.Errorf("%d %s", got.status, got.code), err)
		}
		p.request.method, p.request.path, p.request.assertion = "", "/wallets/1", "" // a proof serves once
	}
	return nil
}

// leave asks with the same credential, and hangs up while the gateway is at it: what others
// wait for must neither end nor become somebody else's. How far it gets is left to chance.
func (p *principal) leave(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	brought := "Authorization: Bearer " + p.request.bearer
	if p.request.bearer == "" {
		brought = "Cookie: " + p.request.cookie
	}
	_, _ = io.WriteString(conn, "GET /wallets/1 HTTP/1.1\r\nHost: "+address+"\r\nX-Number: "+strconv.Itoa(p.number)+"\r\n"+brought+"\r\n\r\n")
	if p.number%2 == 0 { // the others hang up at once
		_ = conn.SetReadDeadline(time.Now().Add(time.Duration(p.number) * 10 * time.Microsecond))
		_, _ = bufio.NewReader(conn).ReadByte()
	}
}

// judge says what is not the principal's in a request of theirs that reached the upstream.
func (p *principal) judge(t *testing.T, r *http.Request) error {
	user := gateway.UserID(environmentID, p.issuer.URL(), p.name)
	token := claimsOf(t, r.Header.Get("Authorization"))
	credential := gateway.CredentialID(environmentID, "externalUser", p.issuer.URL(), p.name)
	sid := cmp.Or(p.sid, r.Header.Get("X-Session"))
	want := map[string]any{"sub": user, "external_user_id": p.name, "last_verified_credential_id": credential, "sid": sid}
	for name, value := range want {
		if token[name] != value {
			return fmt.Errorf("its token's %s is %v, want %v", name, token[name], value)
		}
	}
	for name, value := range map[string]string{
		"X-User-Id": user, "X-External-Id": p.name, "X-Issuer": p.issuer.URL(), "X-Session": sid, "X-Own": strconv.Itoa(p.number),
	} {
		if got := r.Header[name]; len(got) != 1 || got[0] != value {
			return fmt.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if external, ok := token["external_claims"].(map[string]any); ok && external["own"] != float64(p.number) {
		return fmt.Errorf("the session is of the JWT of number %v", external["own"])
	}
	return nil
}

// judgeAll holds every request that reached the upstream against whoever sent it, and says
// how many there are of each. Of what it has seen it leaves a sample for the search for
// tokens in the logs, which looks for each of them.
func judgeAll(t *testing.T, g *running, all []*principal) []int {
	t.Helper()
	g.upstream.mu.Lock()
	defer g.upstream.mu.Unlock()
	reached := make([]int, len(all))
	var sample []*http.Request
	for i, r := range g.upstream.seen {
		number, err := strconv.Atoi(r.Header.Get("X-Number"))
		if err != nil || number >= len(all) {
			t.Fatalf("a request of nobody: X-Number %q", r.Header.Get("X-Number"))
		}
		reached[number]++
		if err := all[number].judge(t, r); err != nil {
			t.Errorf("principal %d, %s: %v", number, all[number].name, err)
		}
		if i%100 == 0 {
			sample = append(sample, r)
			g.secrets = append(g.secrets, all[number].external)
		}
	}
	g.upstream.seen = sample
	return reached
}

// Where the work for one caller is shared with others who ask for the same, a mistake in
// what "the same" is makes one user another: under load alone, and for a moment. (Traefik,
// CVE-2026-71326.) So a thousand ask at once, in every way that there is, two of each name, a
// third of them hang up halfway, and what the upstream gets for each is held against who they are.
func TestNobodyIsTakenForAnotherUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name              string
		many, connections int
	}{{"control: one after the other", 12, 1}, {"a thousand at once", 1000, 200}} {
		t.Run(c.name, func(t *testing.T) {
			g, second := startPrincipals(t)
			g.upstream.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
			all := make([]*principal, c.many)
			for n := range all {
				all[n] = newPrincipal(g, second, n)
			}
			calls := newCaller(g, c.connections)
			var done sync.WaitGroup
			for _, p := range all {
				ask := func() {
					if err := p.ask(calls); err != nil {
						t.Errorf("principal %d, %s: %v", p.number, p.name, err)
					}
				}
				if c.connections == 1 {
					ask()
					continue
				}
				done.Go(ask)
			}
			done.Wait()
			leavers := 0
			for n, count := range judgeAll(t, g, all) {
				if count < 2 {
					t.Errorf("principal %d reached the upstream %d times, want twice", n, count)
				}
				leavers += count - 2
			}
			t.Logf("of those who hang up, %d reached the upstream", leavers)
		})
	}
}

// The judge of the test above must be able to tell: one principal's request is not another's.
func TestJudgeTellsPrincipalsApart(t *testing.T) {
	g, second := startPrincipals(t)
	one, namesake, other := newPrincipal(g, second, 0), newPrincipal(g, second, 1), newPrincipal(g, second, 2)
	calls := newCaller(g, 1)
	one.leaves = false
	if err := one.ask(calls); err != nil {
		t.Fatal(err)
	}
	r := g.upstream.last(t)
	if err := one.judge(t, r); err != nil {
		t.Error(err)
	}
	for _, p := range []*principal{namesake, other} {
		if err := p.judge(t, r); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s's request passes for that of %s of %s", one.name, p.name, p.issuer.URL())
		}
	}
}
