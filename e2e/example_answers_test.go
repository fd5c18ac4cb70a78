package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// An oddAPI stands between the app and the gateway, and what the API has answered it replaces.
type oddAPI struct {
	url string

	mu      sync.Mutex
	say     func(token string) apiAnswer // given what the API got; nil: the API's own
	secrets *secrets
}

type apiAnswer struct {
	status            int
	contentType, body string
}

func startOddAPI(t *testing.T, gateway string) *oddAPI {
	t.Helper()
	to, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	o := &oddAPI{secrets: newSecrets()}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: o.replace,
		ErrorLog:       log.New(io.Discard, "", 0), // of a page that is closed while it waits
	})
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *oddAPI) saying(say func(token string) apiAnswer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.say = say
}

func (o *oddAPI) replace(res *http.Response) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.say == nil || res.Request.Method != http.MethodGet || res.Request.URL.Path != home {
		return nil
	}
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	token := firstToken(string(said))
	a := o.say(token)
	o.secrets.learn("what the API got", token)
	o.secrets.learn("the API's answer", a.body)
	res.StatusCode, res.Status = a.status, ""
	res.Body, res.ContentLength = io.NopCloser(strings.NewReader(a.body)), int64(len(a.body))
	res.Header.Set("Content-Length", strconv.Itoa(len(a.body)))
	res.Header.Set("Content-Type", a.contentType)
	return nil
}

// echoing is what the API of the demo answers, of these headers.
func echoing(headers claims) apiAnswer {
	body, err := json.Marshal(claims{"method": "GET", "path": home, "headers": headers})
	if err != nil {
		panic(err)
	}
	return apiAnswer{http.StatusOK, "application/json", string(body)}
}

// tokenOf is a token with such a header and such claims, which nobody has signed.
func tokenOf(header, payload string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(header)) + "." + part([]byte(payload)) + "." + part([]byte("signature"))
}

const (
	elsewhere = "A refusal of the gateway has a code. This answer came from elsewhere."
	script    = `<img src="x" onerror="alert(1)">`
)

// Of a token the page shows what it says. The token itself is for nobody who looks over the
// user's shoulder, wherever an API may have put it; nor does an odd answer bring the page down.
func TestExampleKeepsTokensOutOfThePage(t *testing.T) {
	var api *oddAPI
	app := startWalletExportThrough(t, func(gateway string) string {
		api = startOddAPI(t, gateway)
		return api.url
	})
	b := startBrowser(t)
	app.openIn(t, b, onDesktop.in("light"))
	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
	for name, c := range map[string]struct {
		say       func(token string) apiAnswer
		outcome   string
		at, shows string // empty: no more than that
	}{
		"a token in a text": {
			func(token string) apiAnswer { return apiAnswer{500, "text/plain", "no such token: " + token + "."} },
			"500" + elsewhere, ".call:last-child .note", "no such token: [token].",
		},
		"a token in a refusal": {
			func(token string) apiAnswer {
				return apiAnswer{403, "application/json", `{"error":"not with ` + token + `","code":"odd ` + token + `"}`}
			},
			"403 odd [token]not with [token]", "", "",
		},
		"tokens in a claim": {
			func(token string) apiAnswer {
				return echoing(claims{"Authorization": "Bearer " + tokenOf(`{"alg":"none"}`, `{"act":{"token":"`+token+`"},"`+token+`":1}`)})
			},
			"200 OK", "#received .token dl", `{"token":"[token]"}`,
		},
		"tokens in other headers": {
			func(token string) apiAnswer {
				return echoing(claims{"Authorization": token, "X-User-Id": "of " + token, "X-User-Email": token})
			},
			"200 OK", "#received", "of [token]",
		},
		"a token whose JSON has blanks": {
			func(string) apiAnswer {
				return echoing(claims{"Authorization": "Bearer " + tokenOf("{\n\"alg\": \"none\"}", `{"sub":"blank"}`)})
			},
			"200 OK", "#received .token", "blank",
		},
		"a token that cannot be decoded": {
			func(string) apiAnswer { return echoing(claims{"Authorization": "Bearer eyJub3RoaW5nIQ.yyy.zzz"}) },
			"200 OK", "#received .token", "unreadable token",
		},
		"a token that says nothing": {
			func(string) apiAnswer { return echoing(claims{"Authorization": tokenOf(`{"alg":"none"}`, `null`)}) },
			"200 OK", "#received .token", "unreadable token",
		},
		"no token": {
			func(string) apiAnswer { return echoing(claims{}) },
			"200 OK", "#received", "GET /wallets/1",
		},
		"another shape":        {always(200, "application/json", `{"wallet":1}`), "200 OK", "", ""},
		"null":                 {always(200, "application/json", `null`), "200 OK", "", ""},
		"nothing":              {always(502, "text/plain", ""), "502" + elsewhere, "", ""},
		"a refusal of null":    {always(500, "application/json", `null`), "500" + elsewhere, "", ""},
		"a refusal of objects": {always(403, "application/json", `{"error":{"a":1},"code":{"b":2}}`), "403" + elsewhere, "", ""},
		"a script":             {always(403, "text/html", script), "403" + elsewhere, ".call:last-child .note", script},
	} {
		t.Run(name, func(t *testing.T) {
			api.saying(c.say)
			b.do(t, claims{"do": "reload"})
			b.wait(t, outcome, c.outcome)
			b.evaluate(t, `document.querySelectorAll('details').forEach((d) => { d.open = true })`)
			if c.at != "" {
				b.wait(t, c.at, c.shows)
			}
			if received := b.evaluate(t, `!document.getElementById('received').hidden`); received != strings.HasPrefix(c.at, "#received") {
				t.Errorf("the page shows a request as the API got it: %v", received)
			}
			page, _ := b.evaluate(t, `document.documentElement.outerHTML`).(string)
			api.secrets.mustNotBeIn(t, "the page", page)
		})
	}
}

func always(status int, contentType, body string) func(string) apiAnswer {
	return func(string) apiAnswer { return apiAnswer{status, contentType, body} }
}
