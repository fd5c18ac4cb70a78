package e2e_test

import (
	"net/http"
	"reflect"
	"testing"
)

func TestReact(t *testing.T) {
	b := startBrowser(t)
	for _, m := range sdkModes {
		t.Run(m.name, func(t *testing.T) {
			l := &reactLife{reactApp: openReact(t, b, m)}
			l.begin(t)
			l.stepUp(t)
			l.goOn(t)
			l.end(t)
		})
	}
}

// A reactLife is that of one page, from its first load to the user's logout.
type reactLife struct {
	*reactApp
	jwt  string // the external one
	user reactUser
}

// begin: the page shows the user whom the API gets to know.
func (l *reactLife) begin(t *testing.T) {
	t.Helper()
	l.request(t, "GET", home, "", 401, "token_missing")
	l.jwt = l.gateway.issuer.token(t, claims{"email": "a@example.test", "emailVerified": true})
	l.signIn(t, l.jwt)
	l.request(t, "GET", home, "", 200, "")
	l.user = reactUser{l.userID(t), "a@example.test", []string{"externalUser user-1", "email a@example.test"}}
	l.mustShowUser(t)
	if hidden := l.token(t) == ""; hidden != (l.mode.session != "") {
		t.Errorf("the session token is out of reach of the page's scripts: %v, want %v", hidden, !hidden)
	}
}

// userID is who the API's latest request came from, by the token that it got.
func (l *reactLife) userID(t *testing.T) string {
	t.Helper()
	all := l.gateway.upstream.all()
	v := l.gateway.issuer.verify(t, all[len(all)-1].bearer(t), l.gateway.jwksURL(), claims{"audience": environmentID})
	id, _ := v.Payload["sub"].(string)
	return id
}

func (l *reactLife) mustShowUser(t *testing.T) {
	t.Helper()
	l.mustSay(t, "signed in")
	if got := l.reactApp.user(t); !reflect.DeepEqual(got, l.user) {
		t.Errorf("the page shows %+v, want %+v", got, l.user)
	}
}

// stepUp: what the page gets for an assertion is good for one request.
func (l *reactLife) stepUp(t *testing.T) {
	t.Helper()
	const scope = "wallet:export"
	l.mustOfferExternal(t, scope)
	l.request(t, "POST", export, "", 403, "step_up_required")
	l.elevate(t, l.gateway.issuer.assertion(t, scope, nil))
	if l.required(t, scope) {
		t.Errorf("with a token for %s the hook says that step-up is required", scope)
	}
	proof := l.take(t, scope)
	l.request(t, "POST", export, proof, 200, "")
	if seen := l.gateway.upstream.all(); seen[len(seen)-1].bearer(t) != proof {
		t.Error("the upstream got another token than the elevated one")
	}
	l.request(t, "POST", export, proof, 403, "elevated_used")
	l.mustOfferExternal(t, scope)
}

// mustOfferExternal wants both hooks to say that a scope needs step-up, and one with what.
func (l *reactLife) mustOfferExternal(t *testing.T, scope string) {
	t.Helper()
	if !l.required(t, scope) {
		t.Errorf("without a token for %s the hook says that step-up is not required", scope)
	}
	var got struct {
		IsRequired  bool
		Credentials []struct{ Format string }
	}
	convert(t, l.do(t, claims{"do": "check", "scope": scope}), &got)
	if !got.IsRequired || len(got.Credentials) != 1 || got.Credentials[0].Format != "externalUser" {
		t.Errorf("checkStepUpAuth says %+v, want step-up with the external user", got)
	}
}

// goOn: a reload and a refresh change nothing for the user.
func (l *reactLife) goOn(t *testing.T) {
	t.Helper()
	const scope = "wallet:sign"
	l.elevate(t, l.gateway.issuer.assertion(t, scope, nil))
	l.reload(t)
	l.mustShowUser(t)
	l.request(t, "GET", home, "", 200, "")
	before := l.token(t)
	l.do(t, claims{"do": "refresh"})
	l.mustShowUser(t)
	l.request(t, "GET", home, "", 200, "")
	if after := l.token(t); l.mode.session == "" && after == before {
		t.Error("refreshed, the session token is the same as before")
	}
	for range 2 {
		l.request(t, "POST", sign, l.take(t, scope), 200, "")
	}
}

// end: what the page held is worth nothing from then on.
func (l *reactLife) end(t *testing.T) {
	t.Helper()
	look := l.held(t, get(home))
	anew := post(sign).bearer(l.gateway.issuer.token(t, nil)).elevated(l.take(t, "wallet:sign")) // the same user, by another JWT
	l.gateway.send(t, look).mustPass(t)
	l.gateway.send(t, anew).mustPass(t)
	l.logOut(t)
	if got := l.wire.last(t, http.MethodPost, "/revoke"); got.status != http.StatusNoContent {
		t.Errorf("the logout was answered with %d, want 204", got.status)
	}
	for _, r := range []request{look, get(home).bearer(l.jwt)} {
		l.gateway.send(t, r).mustRefuse(t, 401, "session_revoked")
	}
	l.gateway.send(t, anew).mustRefuse(t, 403, "elevated_invalid")
	l.reload(t)
	l.mustSay(t, "signed out")
	if l.token(t) != "" || l.take(t, "wallet:sign") != "" {
		t.Error("after the logout the page still has a token")
	}
}
