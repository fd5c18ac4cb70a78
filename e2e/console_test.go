package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startConsole runs `caddy byoa console` for a gateway and returns the URL of its page.
func (g *gateway) startConsole(t *testing.T) string {
	t.Helper()
	return startConsoleFor(t, g.admin, g.secrets)
}

// startConsoleFor runs it for whatever is at an address.
func startConsoleFor(t *testing.T, admin string, s *secrets) string {
	t.Helper()
	cmd := command(t.TempDir(), "byoa", "console", "--listen", "127.0.0.1:0", "--address", admin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the console ended with %v", err)
		}
		s.mustNotBeIn(t, "what the console wrote", stderr.String())
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the console did not start: %v\n%s", err, stderr.String())
	}
	return strings.TrimSpace(line)
}

// openConsole shows the console of a gateway in a browser.
func (g *gateway) openConsole(t *testing.T) *browser {
	t.Helper()
	b := startBrowser(t)
	b.open(t, g.startConsole(t), view{})
	b.wait(t, "role=heading[level=1]", "production")
	return b
}

const (
	refusedRows = "#decisions tr.refused"
	tokenField  = `role=textbox[name="Token"]`
	checkButton = `role=button[name="Check"]`
	confirmIt   = `#confirm-yes`
)

func TestConsoleShowsEnvironmentHealthAndDecisions(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.wait(t, "#decisions-empty", "No decisions yet")
	b.wait(t, "#id", environmentID)
	b.wait(t, "#verdicts", "Enabled")
	b.wait(t, "#health-providers", "Healthy"+issuerName+"Keys1Fetched")
	b.wait(t, "#health-store", "Healthyfile")
	b.wait(t, "#health-keys", "HealthyES256")
	for _, setting := range []string{audienceName, stepUpType, "session_jwt", "wallet:sign", "10 min", g.issuer.jwksURL()} {
		b.wait(t, "#settings", setting)
	}

	external := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(external)).mustPass(t)
	g.send(t, post(export).bearer(external)).mustRefuse(t, 403, "step_up_required")
	g.send(t, get(home)).mustRefuse(t, 401, "token_missing")
	b.wait(t, "#decisions tr", "Exchange")
	b.wait(t, refusedRows, "step_up_required")
	b.wait(t, refusedRows, "token_missing")

	b.do(t, claims{"do": "check", "at": `role=checkbox[name="Refusals only"]`})
	if rows := b.text(t, "#decisions"); strings.Contains(rows, "Exchange") || !strings.Contains(rows, "token_missing") {
		t.Errorf("refusals only shows\n%s", rows)
	}
	b.click(t, refusedRows+`:has-text("step_up_required") >> role=button`)
	b.wait(t, "#decisions tr.details", "user-1")
	b.wait(t, "#decisions tr.details", "POST "+export)
}

func TestConsolePausesTheTable(t *testing.T) {
	g := startGateway(t, config{})
	g.send(t, get(home)).mustRefuse(t, 401, "token_missing")
	b := g.openConsole(t)
	b.wait(t, refusedRows, "token_missing")
	b.click(t, `role=button[name="Pause"]`)
	b.wait(t, "#decisions-count", "1 decision, paused at")
	g.send(t, post(sign)).mustRefuse(t, 401, "token_missing")
	b.awaitPolls(t, 2)
	if rows := b.text(t, "#decisions"); strings.Contains(rows, sign) {
		t.Errorf("the paused table shows\n%s", rows)
	}
	b.click(t, `role=button[name="Resume"]`)
	b.wait(t, refusedRows, sign)
}

// asked is how often the page has asked for something whose path ends so.
func (b *browser) asked(t *testing.T, path string) int {
	t.Helper()
	n, _ := b.evaluate(t, fmt.Sprintf(`performance.getEntriesByType('resource').filter((e) => e.name.endsWith(%q)).length`, path)).(float64)
	return int(n)
}

// awaitAsked waits until the page has asked for it that often.
func (b *browser) awaitAsked(t *testing.T, path string, times int) {
	t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if b.asked(t, path) >= times {
			return
		}
		b.evaluate(t, `new Promise((resolve) => setTimeout(resolve, 100))`)
	}
	t.Fatalf("the page has asked for %s %d times, want %d", path, b.asked(t, path), times)
}

// awaitPolls has the page ask for everything that many times, as when it comes into view.
func (b *browser) awaitPolls(t *testing.T, polls int) {
	t.Helper()
	for range polls {
		before := b.asked(t, "/byoa/health")
		b.evaluate(t, `document.dispatchEvent(new Event('visibilitychange'))`)
		b.awaitAsked(t, "/byoa/health", before+1)
		b.evaluate(t, `new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 200))`)
	}
}

func TestConsoleShowsTrouble(t *testing.T) {
	g := prepareGateway(t, startIssuer(t, newSecrets()), config{})
	g.issuer.breakDown(t)
	g.start(t)
	b := g.openConsole(t)
	b.wait(t, "#verdicts", "Unhealthy")
	b.wait(t, "#health-providers .item.bad", "Unhealthy"+issuerName)
	b.wait(t, "#health-providers .item.bad", "Keys0Fetchednever")
	b.wait(t, "#health-providers .reason", "503")
	b.wait(t, "#health-store", "Healthyfile")
	b.mustBeAccessible(t, "trouble")
}

func TestConsoleOutlivesCaddy(t *testing.T) {
	g := startGateway(t, config{})
	b := startBrowser(t)
	url := g.startConsole(t)
	address := g.admin
	b.open(t, url, view{})
	b.wait(t, "role=heading[level=1]", "production")
	g.stop(t)
	b.wait(t, "#lost", "Caddy does not answer. No Caddy answers at "+address)
	b.wait(t, "#lost", "connection refused. If it is not running, start it")
	b.wait(t, "#verdicts", "Not known now")
	b.waitGone(t, `#verdicts >> text="Healthy"`)
	b.wait(t, "#health-store", "Was healthy")
	b.wait(t, `role=status >> nth=0`, "Caddy does not answer")
	if title := b.evaluate(t, `document.title`); title != "Caddy does not answer: production – byoa console" {
		t.Errorf("the title is %q while Caddy is gone", title)
	}
	b.mustBeAccessible(t, "Caddy gone")
	b.open(t, url, view{})
	b.wait(t, "role=heading[level=1]", "Caddy does not answer")
	b.mustBeAccessible(t, "no Caddy")
	g.restart(t)
	b.wait(t, "role=heading[level=1]", "production")
	b.waitGone(t, "#notice")
}

// load replaces the config that is in force.
func (g *gateway) load(t *testing.T, options string) {
	t.Helper()
	res, err := http.Post("http://"+g.admin+"/load", "text/caddyfile", strings.NewReader("{\n\tadmin "+g.admin+"\n"+options+"\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("loading a config: %s", text)
	}
}

func TestConsoleFollowsReloadsAndShowsTheEnvironmentAskedFor(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.fill(t, tokenField, "of the one before")
	environment := func(name string) string {
		return fmt.Sprintf("environment %s {\nissuer https://%[1]s.test\njwks_url %s\naudience x\nassertion {\naudience %[1]s\n}\n}\n", name, g.issuer.jwksURL())
	}
	g.load(t, "byoa {\n"+environment("partners")+environment("staff")+"}")
	b.wait(t, "role=heading[level=1]", "partners")
	b.wait(t, "#settings", "https://partners.test")
	if left := b.evaluate(t, `document.querySelector('#check-token').value`); left != "" {
		t.Errorf("the field still has %q, which was for another environment", left)
	}
	b.click(t, `role=navigation[name="Environments"] >> role=link[name="staff"]`)
	b.wait(t, "role=heading[level=1]", "staff")
	b.wait(t, `#environments [aria-current="page"]`, "staff")
	b.click(t, `role=button[name="Disable…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#remark", "Switched off by the operator")
	b.wait(t, "role=heading[level=1]", "staff")
	b.mustBeAccessible(t, "two environments")
	b.evaluate(t, `history.back()`)
	b.wait(t, "role=heading[level=1]", "partners")
	b.wait(t, "#verdicts", "Enabled")

	g.load(t, "")
	b.wait(t, "#lost", "Caddy answers 503. No config with the app byoa is running.")
}

// restart runs the gateway again, at the addresses that it had.
func (g *gateway) restart(t *testing.T) {
	t.Helper()
	file := filepath.Join(g.process.logs, "Caddyfile")
	p := g.newProcess(g.process.logs)
	if err := p.run(t, g.config.dir, file); err != nil {
		t.Fatalf("starting the gateway again: %v", err)
	}
	g.process = p
}

// The admin API itself refuses browsers, which is why there is a console.
func TestConsoleIsTheOnlyWayInForABrowser(t *testing.T) {
	g := startGateway(t, config{})
	ask := func(url string, header http.Header) int {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	url := g.startConsole(t)
	fromPage := http.Header{"Origin": {strings.TrimSuffix(url, "/")}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}, "X-Byoa-Console": {"1"}}
	if got := ask("http://"+g.admin+"/byoa/health", fromPage); got != http.StatusForbidden {
		t.Errorf("the admin API answers a page with %d, want 403", got)
	}
	if got := ask(url+"byoa/health", fromPage); got != http.StatusOK {
		t.Errorf("the console answers its page with %d, want 200", got)
	}
	if got := ask(url+"config/", fromPage); got != http.StatusNotFound {
		t.Errorf("the console answers for the config with %d, want 404", got)
	}
}
