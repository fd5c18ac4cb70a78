package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A refusal is a request that is turned away, beside one that is let on and
// differs from it in the one thing that the code names.
type refusal struct {
	name      string
	bad, good request
	status    int
	code      string
}

func (c refusal) run(t *testing.T, g *gateway) {
	t.Helper()
	g.send(t, c.good).mustPass(t)
	g.send(t, c.bad).mustRefuse(t, c.status, c.code)
}

func runAll(t *testing.T, g *gateway, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, g) })
	}
}

// tampered changes one character in the middle of the signature.
func tampered(token string) string {
	at := strings.LastIndex(token, ".") + 20
	other := "A"
	if token[at] == 'A' {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

func inSeconds(d time.Duration) int64 { return time.Now().Add(d).Unix() }

func TestRefusedExternalJWT(t *testing.T) {
	i := startIssuer(t, newSecrets(), "ES256", "RS256")
	g := startGatewayFor(t, i, config{Environment: "max_token_size 2KiB\nalgorithms ES256"})
	token := func(s signing) request {
		s.Payload = tokenClaims(s.Payload)
		return get(home).bearer(i.sign(t, s))
	}
	with := func(c claims) request { return token(signing{Payload: c}) }
	good := with(nil)
	whole := i.token(t, nil)

	runAll(t, g, []refusal{
		{"no token", get(home), good, 401, "token_missing"},
		{"another scheme", get(home).header("Authorization", "Basic dTpw"), good, 401, "token_missing"},
		{"two headers", good.bearer(i.token(t, nil)), good, 400, "bad_request"},
		{"one part lacking", get(home).bearer(whole[:strings.LastIndex(whole, ".")]), get(home).bearer(whole), 401, "token_malformed"},
		{"a part too many", get(home).bearer(whole + ".e30"), get(home).bearer(whole), 401, "token_malformed"},
		{"padded base64", get(home).bearer(whole + "=="), get(home).bearer(whole), 401, "token_malformed"},
		{"too large", with(claims{"pad": strings.Repeat("p", 2048)}), with(claims{"pad": "p"}), 401, "token_too_large"},
		{"no signature", get(home).bearer(unsigned(whole)), get(home).bearer(whole), 401, "algorithm_not_allowed"},
		{"public key as HMAC secret", token(signing{Alg: "HS256"}), good, 401, "algorithm_not_allowed"},
		{"an algorithm that is not wanted here", token(signing{Alg: "RS256"}), good, 401, "algorithm_not_allowed"},
		{"a key that nobody published", token(signing{Stray: true, Header: claims{"kid": "stray"}}), good, 401, "key_not_found"},
		{"another's key under a known name", token(signing{Stray: true}), token(signing{}), 401, "signature_invalid"},
		{"a changed signature", get(home).bearer(tampered(whole)), get(home).bearer(whole), 401, "signature_invalid"},
		{"changed claims", get(home).bearer(transplanted(whole, i.token(t, claims{"sub": "admin"}))), good, 401, "signature_invalid"},
		{"another issuer", with(claims{"iss": issuerName + "/"}), good, 401, "issuer_mismatch"},
		{"another audience", with(claims{"aud": audienceName + "/"}), with(claims{"aud": []string{"x", audienceName}}), 401, "audience_mismatch"},
		{"no audience", with(claims{"aud": nil}), good, 401, "audience_mismatch"},
		{"nobody", with(claims{"sub": nil}), good, 401, "subject_missing"},
		{"the empty name", with(claims{"sub": ""}), good, 401, "subject_missing"},
		{"for ever", with(claims{"exp": nil}), good, 401, "expiry_missing"},
		{"expired", with(claims{"exp": inSeconds(-time.Second)}), with(claims{"exp": inSeconds(time.Hour)}), 401, "expired"},
		{"not yet valid", with(claims{"nbf": inSeconds(time.Hour)}), with(claims{"nbf": inSeconds(5 * time.Second)}), 401, "not_yet_valid"},
		{"issued in the future", with(claims{"iat": inSeconds(time.Hour)}), with(claims{"iat": inSeconds(5 * time.Second)}), 401, "not_yet_valid"},
		{"an assertion", token(signing{Header: claims{"typ": stepUpType}}), token(signing{Header: claims{"typ": "JWT"}}), 401, "type_mismatch"},
		{"a critical extension", token(signing{Header: claims{"b64": true, "crit": []string{"b64"}}}), token(signing{Header: claims{"x": 1}}), 401, "token_malformed"},
	})
}

// unsigned is the same token with `alg: none` and no signature (RFC 7519, section 6).
func unsigned(token string) string {
	const algNone = "eyJhbGciOiJub25lIn0"
	parts := strings.Split(token, ".")
	return algNone + "." + parts[1] + "."
}

// transplanted is a token with the claims of another.
func transplanted(token, other string) string {
	parts := strings.Split(token, ".")
	parts[1] = strings.Split(other, ".")[1]
	return strings.Join(parts, ".")
}

func TestRefusedSignIn(t *testing.T) {
	g := startGateway(t, config{})
	signIn := func(token string) *answer {
		return g.send(t, postJSON(apiPath+"/externalAuth/signin", claims{"jwt": token}))
	}
	for reason, with := range map[string]claims{
		"issuer_mismatch":   {"iss": "https://elsewhere.example.test"},
		"audience_mismatch": {"aud": "https://elsewhere.example.test"},
		"expired":           {"exp": inSeconds(-time.Second)},
		"subject_missing":   {"sub": nil},
	} {
		t.Run(reason, func(t *testing.T) {
			signIn(g.issuer.token(t, with)).mustNotServe(t, reason)
			g.signIn(t, g.issuer.token(t, nil))
		})
	}
	t.Run("signature_invalid", func(t *testing.T) {
		token := g.issuer.token(t, nil)
		signIn(tampered(token)).mustNotServe(t, "signature_invalid")
		g.signIn(t, token)
	})
}

func TestAmbiguousPath(t *testing.T) {
	g := startGateway(t, config{Table: "default session"})
	token := g.issuer.token(t, nil)
	for _, path := range []string{
		"/wallets/1%2fexport", "/wallets/1%5cexport", `/wallets\1`, "/wallets%252f1", "/wallets/%252e%252e/admin",
		"/wallets/./1", "/wallets/../admin", "/wallets/%2e%2e/admin", "/wallets/.%2E/admin", "//wallets/1", "/wallets//1",
		"/wallets;a=b/1", "/wallets/..;/admin", "/wallets%3b/1", "/wallets/1%00", "/wallets/1%0a", "/wallets/1.", "/wallets./1", "/wallets/1%20",
	} {
		t.Run(path, func(t *testing.T) {
			g.send(t, get(path).bearer(token)).mustRefuse(t, 400, "ambiguous_path")
		})
	}
	for _, path := range []string{"/wallets/1", "/wallets/a.b", "/wallets/%61", "/wallets/1/", "/wallets/1?x=/../;%2f", "/wallets/1%25"} {
		t.Run(path, func(t *testing.T) {
			a := g.send(t, get(path).bearer(token)).mustPass(t)
			if a.upstream.target != path {
				t.Errorf("the upstream got %s, want %s", a.upstream.target, path)
			}
		})
	}
}

func TestAllowedPathClass(t *testing.T) {
	g := startGateway(t, config{Table: "default session", Gate: "allow_path encoded_slash"})
	token := g.issuer.token(t, nil)
	g.send(t, get("/wallets/1%2fexport").bearer(token)).mustPass(t)
	g.send(t, get("/wallets/1;export").bearer(token)).mustRefuse(t, 400, "ambiguous_path")
	g.send(t, get("/wallets/1%00").bearer(token)).mustRefuse(t, 400, "ambiguous_path")
}

func TestTableDecides(t *testing.T) {
	g := startGateway(t, config{})
	token := g.issuer.token(t, nil)
	in := func(method, path string) request { return request{method: method, path: path}.bearer(token) }
	runAll(t, g, []refusal{
		{"a route that nobody named", in("GET", "/other"), in("GET", home), 403, "route_denied"},
		{"a route that is closed", in("GET", "/admin/keys"), in("GET", home), 403, "route_denied"},
		{"closed in other letters", in("GET", "/ADMIN/keys"), in("GET", "/WALLETS/1"), 403, "route_denied"},
		{"another method", in("DELETE", home), in("GET", home), 403, "route_denied"},
		{"export without proof", in("POST", "/wallets/1/export"), in("POST", home), 403, "step_up_required"},
		{"export in other letters", in("POST", "/Wallets/1/EXPORT/"), in("POST", home+"/"), 403, "step_up_required"},
		{"no token for a closed route", get("/admin/keys"), in("GET", home), 401, "token_missing"},
	})
}

func TestOldLoginMustBeRepeated(t *testing.T) {
	g := startGateway(t, config{Table: "max_age 5m\nacr mfa phr\nGET /wallets/{id} -"})
	login := func(c claims) request { return get(home).bearer(g.issuer.token(t, c)) }
	fresh := claims{"auth_time": inSeconds(-time.Minute), "acr": "mfa"}
	good := login(fresh)
	cases := []refusal{
		{"too old", login(claims{"auth_time": inSeconds(-time.Hour), "acr": "mfa"}), good, 401, "reauthentication_required"},
		{"of unknown age", login(claims{"acr": "mfa"}), good, 401, "reauthentication_required"},
		{"with a password only", login(claims{"auth_time": inSeconds(-time.Minute), "acr": "pwd"}), good, 401, "reauthentication_required"},
		{"by unknown means", login(claims{"auth_time": inSeconds(-time.Minute)}), good, 401, "reauthentication_required"},
	}
	runAll(t, g, cases)
	challenge := g.send(t, cases[0].bad).header.Get("WWW-Authenticate")
	for _, want := range []string{`max_age="300"`, `acr_values="mfa phr"`} {
		if !strings.Contains(challenge, want) && !strings.Contains(challenge, strings.ReplaceAll(want, `"300"`, "300")) {
			t.Errorf("WWW-Authenticate is %q, want %s in it", challenge, want)
		}
	}
	t.Run("a session token knows its login", func(t *testing.T) {
		g.send(t, get(home).bearer(g.signIn(t, g.issuer.token(t, fresh)))).mustPass(t)
		g.send(t, get(home).bearer(g.signIn(t, g.issuer.token(t, nil)))).mustRefuse(t, 401, "reauthentication_required")
	})
}

// A page of a stranger can make a browser send cookies, but not headers.
func TestCookieFromAnotherOrigin(t *testing.T) {
	g := startGateway(t, config{Environment: "cors https://app.example.test"})
	token := g.issuer.token(t, nil)
	own := "http://" + g.address
	cookie := post(home).cookies("session_jwt=" + token)
	upgrade := get("/stream").cookies("session_jwt="+token).header("Connection", "Upgrade").header("Upgrade", "echo")
	good := cookie.header("Origin", own)
	runAll(t, g, []refusal{
		{"a form of a stranger", cookie.header("Origin", "https://evil.example.test"), good, 403, "cross_origin"},
		{"a sandboxed page", cookie.header("Origin", "null"), good, 403, "cross_origin"},
		{"a neighbour", cookie.header("Sec-Fetch-Site", "same-site"), cookie.header("Sec-Fetch-Site", "same-origin"), 403, "cross_origin"},
		{"a stranger, as the browser says", cookie.header("Sec-Fetch-Site", "cross-site"), cookie.header("Sec-Fetch-Site", "same-origin"), 403, "cross_origin"},
		{"almost the app", cookie.header("Origin", "https://app.example.test.evil.test"), cookie.header("Origin", "https://app.example.test"), 403, "cross_origin"},
		{"a stranger's WebSocket", upgrade.header("Origin", "https://evil.example.test"), good, 403, "cross_origin"},
		{"with a header it may", cookie.header("Origin", "https://evil.example.test"), post(home).bearer(token).header("Origin", "https://evil.example.test"), 403, "cross_origin"},
	})
	t.Run("endpoints", func(t *testing.T) {
		signIn := func(origin string) *answer {
			return g.send(t, postJSON(apiPath+"/externalAuth/signin", claims{}).cookies("session_jwt="+token).header("Origin", origin))
		}
		if a := signIn("https://app.example.test"); a.status != http.StatusOK {
			t.Errorf("signing in by cookie from the app: got %v, want 200", a)
		}
		signIn("https://evil.example.test").mustRefuse(t, 403, "cross_origin")
	})
}

func TestDisabledEnvironmentRefusesEverything(t *testing.T) {
	open := startGateway(t, config{})
	closed := startGatewayFor(t, open.issuer, config{Environment: "enabled off"})
	external := open.issuer.token(t, nil)
	signIn := postJSON(apiPath+"/externalAuth/signin", claims{"jwt": external})
	open.send(t, get(home).bearer(external)).mustPass(t)
	open.signIn(t, external)
	closed.send(t, get(home).bearer(external)).mustRefuse(t, 403, "external_auth_disabled")
	closed.send(t, signIn).mustRefuse(t, 403, "external_auth_disabled")
}

func TestErrorsGoToTheErrorRouteWhereWanted(t *testing.T) {
	g := startGateway(t, config{Gate: "pass_errors", Site: "handle_errors {\nrespond \"page for {http.error.byoa.code}\" {http.error.status_code}\n}"})
	token := g.issuer.token(t, nil)
	for code, r := range map[string]request{"token_missing": get(home), "step_up_required": post(export).bearer(token)} {
		a := g.send(t, r)
		if a.body != "page for "+code || a.upstream != nil {
			t.Errorf("got %v, want the error page for %s", a, code)
		}
		a.mustChallenge(t, code)
	}
	g.send(t, get(home).bearer(token)).mustPass(t)
	if a := g.send(t, post(apiPath+"/refresh")); a.status != 401 || a.text("code") != "token_missing" {
		t.Errorf("an endpoint: got %v, want its own 401 token_missing", a)
	}
}
