package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

const otherIssuer = "https://login.other.test"

// published is the JWKS of a login system, with every key under a name of our choice.
func (i *issuer) published(t testing.TB, kid string) claims {
	t.Helper()
	res, err := http.Get(i.jwksURL())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct{ Keys []claims }
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		key["kid"] = kid
	}
	return claims{"keys": set.Keys}
}

// The name of a key is for its owner to choose, and many choose "1".
func TestTwoIssuersWithKeysOfOneName(t *testing.T) {
	const kid = "1"
	s := newSecrets()
	ours, others := startIssuer(t, s), startIssuer(t, s)
	web := startWeb(t)
	web.handle("/ours", jsonAnswer(ours.published(t, kid)))
	web.handle("/others", jsonAnswer(others.published(t, kid)))
	g := startGatewayFor(t, ours, config{
		Trust:       trust(issuerName, "jwks_url "+web.url+"/ours"),
		Environment: also(otherIssuer, "jwks_url "+web.url+"/others"),
	})
	token := func(by *issuer, iss string, kid any) string {
		return by.sign(t, signing{Header: claims{"kid": kid}, Payload: tokenClaims(claims{"iss": iss})})
	}
	with := func(token string) request { return get(home).bearer(token) }
	a, b := with(token(ours, issuerName, kid)), with(token(others, otherIssuer, kid))
	runAll(t, g, []refusal{
		{"one names the other", with(token(others, issuerName, kid)), b, 401, "signature_invalid"},
		{"and the other way round", with(token(ours, otherIssuer, kid)), a, 401, "signature_invalid"},
		{"without the name of a key", with(token(others, issuerName, nil)), with(token(others, otherIssuer, nil)), 401, "signature_invalid"},
		{"somebody neither knows", with(token(ours, "https://login.third.test", kid)), a, 401, "issuer_mismatch"},
	})

	assertion := func(by *issuer) string {
		return by.sign(t, signing{Header: claims{"typ": stepUpType, "kid": kid}, Payload: assertionClaims("wallet:export", nil)})
	}
	to := func(credential string) request { return post(export).bearer(credential) }
	ofOurs, ofOthers := token(ours, issuerName, kid), token(others, otherIssuer, kid)
	runAll(t, g, []refusal{
		{"an assertion of the other", to(ofOurs).assertion(assertion(others)), to(ofOurs).assertion(assertion(ours)), 401, "signature_invalid"},
		{"for a user whom both have", to(ofOthers).assertion(assertion(ours)), to(ofOthers).assertion(assertion(others)), 401, "signature_invalid"},
	})
}

// One name at two login systems is two people.
func TestSameSubjectOfTwoIssuersIsTwoUsers(t *testing.T) {
	s := newSecrets()
	ours, others := startIssuer(t, s), startIssuer(t, s)
	g := startGatewayFor(t, ours, config{
		Gate: "claim_header X-User user_id", Environment: also(otherIssuer, "jwks_url "+others.jwksURL()),
	})
	a, b := ours.token(t, nil), others.token(t, claims{"iss": otherIssuer})
	if one, two := g.userOf(t, a), g.userOf(t, b); one == two {
		t.Errorf("both are the user %s", one)
	}
	to := post(export).bearer(b)
	own := g.redeem(t, b, others.assertion(t, "wallet:export", nil))
	g.send(t, to.elevated(g.elevate(t, a, "wallet:export"))).mustRefuse(t, 403, "elevated_subject_mismatch")
	g.send(t, to.elevated(own)).mustPass(t)
}

// userOf is the user id that the upstream was told in X-User.
func (g *gateway) userOf(t testing.TB, credential string) string {
	t.Helper()
	told := g.send(t, get(home).bearer(credential)).mustPass(t).upstream.named("X-User")
	if len(told) != 1 || told[0] == "" {
		t.Fatalf("the upstream got X-User %q, want one user id", told)
	}
	return told[0]
}

// Where one login system runs under two names with one set of keys, a signature does not
// tell whose assertion it is, so the assertion has to.
func TestAssertionNamesItsIssuerWhereTwoShareKeys(t *testing.T) {
	g := startGatewayFor(t, startIssuer(t, newSecrets()), config{})
	i := g.issuer
	shared := startGatewayFor(t, i, config{Environment: also(otherIssuer, "jwks_url "+i.jwksURL())})
	to := post(export).bearer(i.token(t, nil))
	naming := func(iss any) request { return to.assertion(i.assertion(t, "wallet:export", claims{"iss": iss})) }
	runAll(t, shared, []refusal{
		{"nobody", naming(nil), naming(issuerName), 401, "issuer_mismatch"},
		{"the other one", naming(otherIssuer), naming(issuerName), 401, "issuer_mismatch"},
	})
	g.send(t, naming(nil)).mustPass(t)
	g.send(t, naming(otherIssuer)).mustRefuse(t, 401, "issuer_mismatch")
}

// What an issuer answers in place of its keys costs its own users their access, and
// nobody else's.
func TestTroubleOfOneIssuerIsNotThatOfAnother(t *testing.T) {
	s := newSecrets()
	healthy, ill := startIssuer(t, s), startIssuer(t, s)
	keys := ill.published(t, "ill")
	web := startWeb(t)
	web.handle("/good", jsonAnswer(keys))
	web.handle("/page", textAnswer("<!doctype html><title>Sign in</title>"))
	web.handle("/cut-off", textAnswer(`{"keys":[{"kty":"EC",`))
	web.handle("/huge", jsonAnswer(claims{"keys": keys["keys"], "padding": strings.Repeat("p", 2<<20)}))
	web.handle("/near", http.RedirectHandler("/good", http.StatusFound))
	web.handle("/far", http.RedirectHandler(web.alias+"/good", http.StatusFound))
	web.handle("/broken", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	wellBehaved := []string{web.url + "/good", web.url + "/near"}
	hostile := []string{
		web.url + "/page", web.url + "/cut-off", web.url + "/huge", web.url + "/far", web.url + "/broken",
		"http://" + freeport.Address(t) + "/nobody-listens",
	}
	var c config
	for _, url := range append(wellBehaved, hostile...) {
		c.Environment += also(url, "jwks_url "+url)
	}
	g := startGatewayFor(t, healthy, c)
	of := func(iss string) request {
		return get(home).bearer(ill.sign(t, signing{Header: claims{"kid": "ill"}, Payload: tokenClaims(claims{"iss": iss})}))
	}
	for _, iss := range wellBehaved {
		g.send(t, of(iss)).mustPass(t)
	}
	for _, iss := range hostile {
		g.send(t, of(iss)).mustRefuse(t, 503, "keys_unavailable")
		g.send(t, get(home).bearer(healthy.token(t, nil))).mustPass(t)
	}
	healthy.rotate(t)
	g.send(t, get(home).bearer(healthy.token(t, nil))).mustPass(t)
}

// A tarpit takes requests and never answers.
type tarpit struct{ came, went atomic.Int64 }

func (p *tarpit) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	p.came.Add(1)
	<-r.Context().Done()
	p.went.Add(1)
}

// holds is the number of the request that hangs now; 0: none does.
func (p *tarpit) holds() int64 {
	went := p.went.Load()
	if came := p.came.Load(); came > went {
		return came
	}
	return 0
}

// during does something while one and the same request hangs from beginning to end. It
// tries again where the other side gave up meanwhile, so that no speed is asked for.
func (p *tarpit) during(t *testing.T, do func()) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		held := p.holds()
		if held == 0 {
			continue
		}
		if do(); p.holds() == held {
			return
		}
	}
	t.Fatal("nothing was done while a request hung")
}

func TestIssuerThatNeverAnswersDelaysNobodyElse(t *testing.T) {
	const callers = 32
	s := newSecrets()
	healthy, stuck := startIssuer(t, s), startIssuer(t, s)
	web, pit := startWeb(t), new(tarpit)
	web.handle("/stuck", pit)
	g := startGatewayFor(t, healthy, config{Environment: also(otherIssuer, "jwks_url "+web.url+"/stuck")})

	var waiting sync.WaitGroup
	defer waiting.Wait()
	for range callers {
		r := get(home).bearer(stuck.token(t, claims{"iss": otherIssuer}))
		waiting.Go(func() {
			if a, err := g.try(r); err != nil || a.status != 503 || a.text("code") != "keys_unavailable" {
				t.Errorf("a token of the issuer that is stuck: got %v, %v, want 503 keys_unavailable", a, err)
			}
		})
	}
	pit.during(t, func() {
		token := healthy.token(t, nil)
		g.send(t, get(home).bearer(token)).mustPass(t)
		g.send(t, post(export).bearer(g.signIn(t, token)).assertion(healthy.assertion(t, "wallet:export", nil))).mustPass(t)
	})
}
