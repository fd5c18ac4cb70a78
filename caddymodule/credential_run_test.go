package caddymodule_test

import (
	"net/http"
	"testing"
)

// What the gate refuses as two credentials, or as one that hides, the endpoints must not
// take for one: the user would be somebody else here than there. Nor the other way round.
func TestEndpointsReadWhatARequestBringsAsTheGateDoes(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	session := g.signedInCookie(g.external("alice"))
	token := session[len(sessionCookie)+1:]
	login := "; ext=" + g.external("alice", map[string]any{"jti": "2"})
	for name, c := range map[string]struct {
		cookie        string
		authorization []string
		status        int
	}{
		"one cookie":                        {session, nil, 200},
		"one cookie among others":           {"a=1; " + session + "; b=2", nil, 200},
		"one cookie beside a login":         {session + login, nil, 200},
		"two cookies":                       {session + "; " + session, nil, 400},
		"the second with a space":           {session + "; " + sessionCookie + "=a b", nil, 400},
		"the second with a quote":           {session + "; " + sessionCookie + `=a"b`, nil, 400},
		"the second with a backslash":       {session + "; " + sessionCookie + `=a\b`, nil, 400},
		"the second without a value":        {session + "; " + sessionCookie, nil, 400},
		"one in another cookie":             {session + "; x=1 " + session, nil, 400},
		"one behind a comma":                {"x=1, " + session, nil, 400},
		"two logins":                        {session + login + login, nil, 400},
		"a login in another cookie":         {session + "; x=1 ext=y", nil, 400},
		"an odd value":                      {sessionCookie + `=a\b`, nil, 401},
		"one header":                        {"", []string{"Bearer " + token}, 200},
		"one header before two cookies":     {session + "; " + session, []string{"Bearer " + token}, 200},
		"one header before a hidden cookie": {"x=1 " + session, []string{"Bearer " + token}, 400},
		"two headers":                       {"", []string{"Bearer " + token, "Bearer " + token}, 400},
		"two in one header":                 {"", []string{"Bearer " + token + ", Bearer " + token}, 400},
		"one behind another scheme":         {"", []string{"Basic eDp5, Bearer " + token}, 400},
		"one as another scheme's":           {"", []string{"Token Bearer " + token}, 401},
		"another scheme beside a cookie":    {session, []string{"Basic eDp5"}, 200},
		"no token":                          {session, []string{"Bearer"}, 400},
		"a tab":                             {"", []string{"Bearer\t" + token}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := request{cookie: c.cookie}
			if c.authorization != nil {
				r.header = http.Header{"Authorization": c.authorization}
			}
			r.path = "/wallets/1"
			atGate := g.do(r)
			r.path = endpoints + "/users"
			atEndpoint := g.do(r)
			if atGate.status != c.status || atEndpoint.status != c.status || atGate.code != atEndpoint.code {
				t.Errorf("the gate says %d %q and the endpoint %d %q, want %d of both", atGate.status, atGate.code, atEndpoint.status, atEndpoint.code, c.status)
			}
		})
	}
}
