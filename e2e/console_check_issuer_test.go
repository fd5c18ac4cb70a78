package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	issuerField   = `role=combobox[name="Issuer"]`
	anAssertion   = `role=radio[name="Assertion, to step up"]`
	subjectField  = `role=textbox[name="Subject"]`
	chosenIssuer  = `document.querySelector('#check-issuer').value`
	offeredIssuer = `[...document.querySelectorAll('#check-issuer option')].map((e) => e.textContent)`
)

// An assertion that is taken was called bad, since nobody could say whose user it is about.
func TestConsoleChecksAnAssertionByTheIssuerThatIsChosen(t *testing.T) {
	longIssuer := otherIssuer + "/" + strings.Repeat("long", 50)
	s := newSecrets()
	ours, others := startIssuer(t, s), startIssuer(t, s)
	g := startGatewayFor(t, ours, config{Environment: also(longIssuer, "jwks_url "+others.jwksURL())})
	g.send(t, get(home).bearer(others.token(t, claims{"iss": longIssuer}))).mustPass(t)
	b := g.openConsole(t)
	b.wait(t, issuerField, "")
	if got, want := fmt.Sprint(texts(b.evaluate(t, offeredIssuer))), fmt.Sprint([]string{"The one that the token names", issuerName, longIssuer}); got != want {
		t.Errorf("offered are %s, want %s", got, want)
	}
	b.fill(t, tokenField, others.token(t, claims{"iss": longIssuer}))
	b.click(t, checkButton)
	b.wait(t, "#check-result", "checks passed")

	b.do(t, claims{"do": "check", "at": anAssertion})
	b.fill(t, subjectField, "user-1")
	ask := func() {
		t.Helper()
		b.fill(t, tokenField, others.assertion(t, "wallet:export", nil))
		b.click(t, checkButton)
	}
	ask()
	b.wait(t, "#check-error", "the assertion names no issuer: choose the one that the user signed in with")
	b.mustBeAccessible(t, "no issuer chosen")
	b.do(t, claims{"do": "focus", "at": issuerField})
	b.press(t, "ArrowDown")
	ask()
	b.wait(t, "#check-result", "1 of ")
	b.wait(t, "#check-result li.broken", "Signature failed")
	b.do(t, claims{"do": "focus", "at": issuerField})
	b.press(t, "ArrowDown")
	b.awaitPolls(t, 2)
	if got := b.evaluate(t, chosenIssuer); got != longIssuer {
		t.Errorf("after a poll %v is chosen, want %s as before", got, longIssuer)
	}
	ask()
	b.wait(t, "#check-result", "checks passed")
	g.send(t, post(export).bearer(others.token(t, claims{"iss": longIssuer})).assertion(others.assertion(t, "wallet:export", nil))).mustPass(t)
	for _, v := range []view{onDesktop, onPhone} {
		b.open(t, g.startConsole(t), v.in("dark"))
		b.wait(t, issuerField, "")
		b.mustLookWell(t, v, fmt.Sprintf("issuers-%d", v.width))
	}
}

// Where there is nothing to choose, nothing is asked; nor is the choice of one config sent to the next.
func TestConsoleAsksForTheIssuerOnlyWhereThereAreSeveral(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.wait(t, "#settings", issuerName)
	b.waitGone(t, issuerField)

	environment := func(name, lines string) string {
		return fmt.Sprintf("environment %s {\nissuer https://%[1]s.test\njwks_url %[2]s\naudience x\nassertion {\naudience %[1]s\n}\n%[3]s}\n", name, g.issuer.jwksURL(), lines)
	}
	several := also("https://second.test", "jwks_url "+g.issuer.jwksURL()) + also("https://third.test", "jwks_url "+g.issuer.jwksURL())
	g.load(t, "byoa {\n"+environment("partners", several)+environment("staff", "")+"}")
	b.wait(t, issuerField, "")
	b.do(t, claims{"do": "focus", "at": issuerField})
	b.press(t, "ArrowDown", "ArrowDown", "ArrowDown")
	if got := b.evaluate(t, chosenIssuer); got != "https://third.test" {
		t.Fatalf("chosen is %v, want the third", got)
	}
	b.click(t, `role=navigation[name="Environments"] >> role=link[name="staff"]`)
	b.wait(t, "role=heading[level=1]", "staff")
	b.waitGone(t, issuerField)
	b.evaluate(t, `history.back()`)
	b.wait(t, issuerField, "")
	if got := b.evaluate(t, chosenIssuer); got != "" {
		t.Errorf("chosen is %v, which was chosen before another environment was shown", got)
	}

	b.do(t, claims{"do": "focus", "at": issuerField})
	b.press(t, "ArrowDown", "ArrowDown", "ArrowDown")
	g.load(t, "byoa {\n"+environment("partners", "")+"}")
	b.awaitPolls(t, 1)
	b.waitGone(t, issuerField)
	b.fill(t, tokenField, "no token")
	b.click(t, checkButton)
	b.wait(t, "#check-result", "Form failed token_malformed")
}
