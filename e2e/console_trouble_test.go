package e2e_test

import (
	"io"
	"net"
	"net/http"
	"path"
	"testing"
)

// answerInstead stands where the admin API was: something that says the same to everybody.
func answerInstead(t *testing.T, answer http.HandlerFunc) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

func saying(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// The port may be another program's, and the Caddy there may hang or be another one.
func TestConsoleSaysWhatIsWrongWithWhatAnswers(t *testing.T) {
	b := startBrowser(t)
	for _, test := range []struct {
		name        string
		answer      http.HandlerFunc
		title, text string
	}{
		{"a web server", saying(200, "<!doctype html><p>Welcome"), "Something else answers", "<!doctype html><p>Welcome"},
		{"null", saying(200, "null"), "Something else answers", "It answers null."},
		{"a list of null", saying(200, "[null]"), "Something else answers", "It answers [null]."},
		{"an object", saying(200, "{}"), "Something else answers", "It answers {}."},
		{"no byoa", saying(404, `{"error":"unknown path"}`), "Caddy answers 404", "Unknown path."},
		{"no config of byoa", saying(503, `{"error":"no config"}`), "Caddy answers 503", "No config."},
		{"one that refuses", saying(403, `{"error":"host not allowed"}`), "Caddy answers 403", "Host not allowed."},
		{"one that breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "Caddy does not answer", "EOF. If it is not running"},
		{"one that hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "Caddy does not answer", "its answer is not here after 15s."},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.open(t, startConsoleFor(t, answerInstead(t, test.answer), newSecrets()), view{})
			b.wait(t, "#notice-title", test.title)
			b.wait(t, "#notice-text", test.text)
			b.wait(t, "role=status", test.title)
		})
	}
}

// Between the page and the console it is the browser that says what is wrong.
func TestConsoleTellsTheConsoleFromCaddy(t *testing.T) {
	for name, test := range map[string]struct{ fetch, title string }{
		"the console is gone": {`Promise.reject(new TypeError('Failed to fetch'))`, "The console has ended"},
		"the answer is cut":   {`Promise.resolve(new Response(new ReadableStream({ start: (c) => c.error(new TypeError('cut')) })))`, "Caddy does not answer. The answer breaks off."},
	} {
		t.Run(name, func(t *testing.T) {
			g := startGateway(t, config{})
			b := g.openConsole(t)
			b.evaluate(t, `window.fetch = () => `+test.fetch)
			b.evaluate(t, `document.dispatchEvent(new Event('visibilitychange'))`)
			b.wait(t, "#lost", test.title)
		})
	}
}

// Nobody feels it yet that the keys cannot be fetched, but it must not look as if all were well.
func TestConsoleWarnsWhileOldKeysServe(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.wait(t, "#verdicts", "Healthy")
	g.issuer.rotate(t)
	g.issuer.breakDown(t)
	g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustRefuse(t, 401, "key_not_found") // it looks for the new key
	b.awaitPolls(t, 1)
	b.wait(t, "#health-providers .item.warn", "503")
	b.wait(t, "#verdicts .chip.warn", "Warning")
	if title := b.evaluate(t, `document.title`); title != "Warning: production – byoa console" {
		t.Errorf("the title is %q, want it to warn", title)
	}
	b.mustBeAccessible(t, "a warning")
}

// An open page must not fill Caddy's log.
func TestConsoleAsksSeldom(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.awaitAsked(t, "/decisions", 5)
	for _, path := range []string{"/byoa/health", "/byoa/environments"} {
		if n := b.asked(t, path); n > 2 {
			t.Errorf("after 5 questions for decisions there were %d for %s, want 2", n, path)
		}
	}
	const shortest = `Math.min(...performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/decisions')).map((e) => e.startTime).map((at, i, all) => all[i + 1] - at).filter(Number.isFinite))`
	if pause := b.evaluate(t, shortest).(float64); pause < 4900 {
		t.Errorf("it asks again after %v ms, want 5000", pause)
	}
}

// An exchanger may be anybody's module: it need not have keys that Caddy knows of.
func TestConsoleShowsAnExchangerWithoutKeys(t *testing.T) {
	const name = "an_environment_with_a_name_that_is_longer_than_a_phone_is_wide"
	admin := answerInstead(t, func(w http.ResponseWriter, r *http.Request) {
		switch path.Base(r.URL.Path) {
		case "environments":
			_, _ = io.WriteString(w, `[{"name":"`+name+`","enabled":true,"exchanger":"elsewhere","store":"file","scopes":[{"name":"wallet:`+name+`","lifetime":"5m0s"}]}]`)
		case "health":
			_, _ = io.WriteString(w, `{"healthy":true,"environments":[{"name":"`+name+`","healthy":true,"enabled":true,"store":{"store":"file","healthy":true},`+
				`"providers":[{"issuer":"https://login.example.test","healthy":true,"keys":1,"fetched":"2020-01-01T00:00:00Z","next":"2020-01-01T00:15:00Z","error":""}]}]}`)
		default:
			_, _ = io.WriteString(w, `[]`)
		}
	})
	b := startBrowser(t)
	b.open(t, startConsoleFor(t, admin, newSecrets()), onPhone)
	b.wait(t, "role=heading[level=1]", name)
	b.wait(t, "#health-keys", "None of its own: the exchanger elsewhere has others sign.")
	b.waitGone(t, "#rotate")
	b.wait(t, "#health-providers", "Nextdue now")
	b.evaluate(t, `new Promise((resolve) => setTimeout(resolve, 1100))`) // relative times are told anew
	b.wait(t, "#health-providers", "Nextdue now")
	b.mustLookWell(t, onPhone, "long names")
	const wraps = `getComputedStyle(document.querySelector('#settings tbody td:last-child')).whiteSpace`
	if got := b.evaluate(t, wraps); got != "nowrap" {
		t.Errorf("white-space of a lifetime is %v, want nowrap", got)
	}
}
