package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A reactApp is a customer's page: react/page.jsx, which stands on the React SDK as it is
// published. It does the tasks of an sdkApp by the hooks, and shows what they say.
type reactApp struct {
	*sdkApp
	browser *browser
	gateway *gateway
	mode    sdkMode
}

// reactPage is the page as a web server would have it.
var reactPage = bundling("react", "page.jsx", "--jsx=automatic", "--minify", `--define:process.env.NODE_ENV="production"`)

// reactOutside are the origins that the React SDK asks for fonts, icons and a list of
// wallets, and tells of itself. None of them answers here.
func reactOutside() []string {
	return []string{
		"https://cdn.jsdelivr.net", "https://dynamic-static-assets.com",
		"https://iconic.dynamic-static-assets.com", "https://logs.dynamicauth.com",
	}
}

// openReact loads the page in a browser that has never seen it, before a gateway of its
// own. It returns when the SDK says that it has loaded.
func openReact(t *testing.T, b *browser, m sdkMode) *reactApp {
	t.Helper()
	f := serveFront(t, reactPage)
	g := startGateway(t, m.config(f.origin))
	a := &reactApp{browser: b, gateway: g, mode: m}
	a.sdkApp = &sdkApp{wire: startWire(t, g), front: f, withCookies: m.cookies(), ask: a.run}
	task := claims{"do": "open", "url": f.origin + "/?" + a.settings().Encode(), "origins": append(reactOutside(), a.wire.url)}
	if m.cookies() {
		task["expected"] = []string{"Session expired during initialization"} // is what the SDK says when nobody is signed in yet
	}
	b.do(t, task)
	a.mustSay(t, "signed out")
	return a
}

// settings are what the page is told of its surroundings.
func (a *reactApp) settings() url.Values {
	settings := url.Values{"api": {a.wire.url}, "environment": {environmentID}, "credentials": {"omit"}}
	if a.withCookies {
		settings.Set("credentials", "include")
	}
	return settings
}

// run has the page do a task.
func (a *reactApp) run(t *testing.T, task claims) any {
	t.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	return a.browser.evaluate(t, "run("+string(text)+")")
}

// mustSay waits until the page says so of who is here.
func (a *reactApp) mustSay(t *testing.T, status string) {
	t.Helper()
	a.browser.wait(t, "role=status", status)
}

// A reactUser is the user as the page shows them.
type reactUser struct {
	id, email   string
	credentials []string // format and identifier
}

func (a *reactApp) user(t *testing.T) reactUser {
	t.Helper()
	return reactUser{
		id: a.browser.text(t, "h1"), email: a.browser.text(t, "address"),
		credentials: strings.Split(a.browser.text(t, "ul"), "\n"),
	}
}

// signing is the task of signing in with an external JWT, once the JWT is where the mode has it.
func (a *reactApp) signing(t *testing.T, jwt string) claims {
	t.Helper()
	task := claims{"do": "signIn", "user": "user-1"}
	if a.mode.external {
		a.do(t, claims{"do": "login", "jwt": jwt})
	} else {
		task["jwt"] = jwt
	}
	return task
}

func (a *reactApp) signIn(t *testing.T, jwt string) {
	t.Helper()
	a.do(t, a.signing(t, jwt))
	a.mustSay(t, "signed in")
}

func (a *reactApp) logOut(t *testing.T) {
	t.Helper()
	a.do(t, claims{"do": "logout"})
	a.mustSay(t, "signed out")
}

func (a *reactApp) reload(t *testing.T) {
	t.Helper()
	a.browser.do(t, claims{"do": "reload"})
}

// token is the session token, or empty where scripts do not see it.
func (a *reactApp) token(t *testing.T) string {
	t.Helper()
	token, _ := a.do(t, claims{"do": "token"}).(string)
	return token
}

// required is what the hook says of whether a scope needs step-up.
func (a *reactApp) required(t *testing.T, scope string) bool {
	t.Helper()
	required, ok := a.do(t, claims{"do": "isRequired", "scope": scope}).(bool)
	if !ok {
		t.Fatal("isStepUpRequired does not say whether it is")
	}
	return required
}

// held is a request with the session as the app holds it at this moment.
func (a *reactApp) held(t *testing.T, r request) request {
	t.Helper()
	if a.mode.session == "" {
		return r.bearer(a.token(t))
	}
	a.do(t, claims{"do": "refresh"}) // what goes with that stays good
	return r.cookies(a.wire.last(t, http.MethodPost, "/refresh").header.Get("Cookie"))
}
