package caddymodule_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A tokenWay is one of the ways in which a token gets to a verifier.
type tokenWay struct {
	name      string
	assertion bool // it says what its user may do; otherwise who that is
	admin     bool // to the admin API
	inField   bool // of a header, which cannot hold every token
	request   func(p *presented, token string) wireRequest
	refusal   int    // the status of one, with the code of the verifier
	without   string // what is answered where the token is empty
	tooLong   string // what is answered where it is longer than a body may be
	control   string // what is answered to a good one; if empty, 200
	ends      bool   // a good one is good no more
}

// tokenWays are those in which a request brings one token to be verified. Not among them are the caller of
// an exchange, who needs a good assertion beside, and the session cookie at the endpoints other than
// /users: all of these are read as the caller of an endpoint is, or as that cookie. Nor is a header of
// another name, since Authorization would have to go for it.
var tokenWays = []tokenWay{
	{
		name: "in the header", refusal: 401, without: "400 bad_request", inField: true,
		request: func(p *presented, token string) wireRequest {
			return p.at.read([2]string{"Authorization", "Bearer " + token})
		},
	},
	{
		name: "in the cookie", refusal: 401, without: "401 token_missing", inField: true,
		request: func(p *presented, token string) wireRequest {
			return p.at.read([2]string{"Cookie", "a=1; jwt=" + token + "; b=2"})
		},
	},
	{
		name: "in the session cookie", refusal: 401, without: "401 token_missing", inField: true,
		request: func(p *presented, token string) wireRequest {
			return p.at.read([2]string{"Cookie", "a=1; " + sessionCookie + "=" + token + "; b=2"})
		},
	},
	{
		name: "in the query", refusal: 401, without: "401 token_missing",
		request: func(p *presented, token string) wireRequest {
			return wireRequest{method: "GET", target: "/" + p.at.name + "/?a=1&token=" + url.QueryEscape(token)}
		},
	},
	{
		name: "at sign-in", refusal: 422, without: "422 token_missing", tooLong: "400 bad_request",
		request: func(p *presented, token string) wireRequest {
			return p.at.ask("externalAuth/signin", "", map[string]string{"jwt": token})
		},
	},
	{
		name: "at sign-in by cookie", refusal: 422, without: "422 token_missing", inField: true,
		request: func(p *presented, token string) wireRequest {
			r := p.at.ask("externalAuth/signin", "", map[string]string{})
			r.lines = append(r.lines, [2]string{"Cookie", "jwt=" + token})
			return r
		},
	},
	{
		name: "as the caller of an endpoint", refusal: 401, without: "401 token_missing", inField: true,
		request: func(p *presented, token string) wireRequest {
			return p.at.ask("stepUp/check", token, map[string]string{"scope": "wallet:export"})
		},
	},
	{
		name: "at a refresh", refusal: 401, without: "401 token_missing", inField: true,
		control: "400 bad_request", // only a session can be carried on
		request: func(p *presented, token string) wireRequest { return p.at.ask("refresh", token, nil) },
	},
	{
		name: "asking who it is", refusal: 401, without: "401 token_missing", inField: true,
		request: func(p *presented, token string) wireRequest {
			r := p.at.ask("users", token, nil)
			r.method = "GET"
			return r
		},
	},
	{
		name: "asking who it is by session cookie", refusal: 401, without: "401 token_missing", inField: true,
		request: func(p *presented, token string) wireRequest {
			r := p.at.ask("users", "", nil)
			r.method, r.lines = "GET", append(r.lines, [2]string{"Cookie", sessionCookie + "=" + token})
			return r
		},
	},
	{
		name: "signing out", refusal: 401, without: "401 token_missing", inField: true,
		control: "204 " + verifiertest.OK, ends: true,
		request: func(p *presented, token string) wireRequest { return p.at.ask("revoke", token, nil) },
	},
	{
		name: "asked about by anybody", refusal: 200, without: "400 bad_request", tooLong: "400 bad_request",
		request: func(p *presented, token string) wireRequest {
			return p.at.publicQuestion(map[string]string{"encodedJwt": token})
		},
	},
	{
		name: "asked about", admin: true, refusal: 200, without: "400 ", tooLong: "400 ",
		request: func(p *presented, token string) wireRequest {
			return p.at.question(map[string]string{"encodedJwt": token})
		},
	},
	{
		name: "with the request", assertion: true, refusal: 401, inField: true,
		request: func(p *presented, token string) wireRequest {
			return wireRequest{method: "POST", target: "/" + p.at.name + "/export", lines: [][2]string{
				{"Authorization", "Bearer " + p.at.sessions[p.subject]}, {"X-Step-Up-Assertion", token},
			}}
		},
	},
	{
		name: "at verify", assertion: true, refusal: 422,
		request: func(p *presented, token string) wireRequest {
			return p.at.ask("externalAuth/verify", p.at.sessions[p.subject], map[string]string{"jwt": token})
		},
	},
	{
		name: "asked about with a user", assertion: true, admin: true, refusal: 200,
		request: func(p *presented, token string) wireRequest {
			return p.at.question(map[string]string{"assertion": token, "subject": p.subject, "issuer": "https://" + p.at.host})
		},
	},
	{
		name: "asked about with a user by anybody", assertion: true, refusal: 200,
		request: func(p *presented, token string) wireRequest {
			return p.at.publicQuestion(map[string]string{"assertion": token, "subject": p.subject, "issuer": "https://" + p.at.host})
		},
	},
}

func (e *vectorEnvironment) read(line [2]string) wireRequest {
	return wireRequest{method: "GET", target: "/" + e.name + "/", lines: [][2]string{line}}
}

func (e *vectorEnvironment) ask(endpoint, bearer string, body map[string]string) wireRequest {
	r := posting("/api/v0/sdk/"+e.id+"/"+endpoint, body)
	if bearer != "" {
		r.lines = append(r.lines, [2]string{"Authorization", "Bearer " + bearer})
	}
	return r
}

func (e *vectorEnvironment) question(body map[string]string) wireRequest {
	return posting(on(e.name, "check"), body)
}

func (e *vectorEnvironment) publicQuestion(body map[string]string) wireRequest {
	return posting("/api/v0/environments/"+e.id+"/externalJwt/check", body)
}

func posting(target string, body map[string]string) wireRequest {
	text, _ := json.Marshal(body) // strings always can be
	return wireRequest{method: "POST", target: target, lines: [][2]string{{"Content-Type", "application/json"}}, body: string(text)}
}

// overEveryWay presents each of the vectors by all of its ways, which are taken at the same time.
func (g *vectorGateway) overEveryWay(t *testing.T, when string, vectors []*presented, want func(w tokenWay, p *presented, token string) string) {
	t.Run(when, func(t *testing.T) {
		for _, w := range tokenWays {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				for _, p := range vectors {
					if w.assertion == (p.subject != "") {
						token := g.tokenOf(p)
						g.wantVerdict(t, w, p, token, want(w, p, token))
					}
				}
			})
		}
	})
}

// wantVerdict presents a token over a connection of its own. Where nothing is wanted, nothing is presented.
func (g *vectorGateway) wantVerdict(t *testing.T, w tokenWay, p *presented, token, want string) {
	t.Helper()
	if want == "" {
		return
	}
	r, address := w.request(p, token), g.address
	if w.admin {
		address = g.admin
	}
	r.authority = address
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	got, _, err := http1Conn{conn}.roundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", p.Name, w.name, err)
	}
	if verdict := fmt.Sprintf("%d %s", got.status, said(got)); verdict != want {
		t.Errorf("%s %s: %q, want %q: %s", p.Name, w.name, verdict, want, p.Comment)
	}
}

// said is the code in an answer: of an endpoint the reason, of a check the first error, and ok where the
// token is good.
func said(a wireAnswer) string {
	var answer struct {
		Code, Reason string
		Errors       []string
	}
	err := json.Unmarshal([]byte(a.body), &answer)
	switch {
	case err == nil && len(answer.Errors) > 0:
		return answer.Errors[0]
	case err == nil && answer.Reason != "":
		return answer.Reason
	case a.status >= 300:
		return answer.Code
	}
	return verifiertest.OK
}

// accepted is what the gateway has to say of a control, which has to stay one.
func accepted(w tokenWay, _ *presented, _ string) string {
	if w.ends {
		return ""
	}
	return cmp.Or(w.control, "200 "+verifiertest.OK)
}

// ended is what it has to say of a control that is not needed any more.
func ended(w tokenWay, _ *presented, _ string) string {
	if w.ends {
		return w.control
	}
	return ""
}

// refusedAs is what it has to say of any other vector. It is nothing where the way cannot carry the
// token, so that what arrives is another one.
func refusedAs(w tokenWay, p *presented, token string) string {
	switch {
	case token == "":
		return w.without
	case w.tooLong != "" && len(token) > 64<<10-20:
		return w.tooLong
	case w.inField && (strings.TrimSpace(token) != token || strings.ContainsAny(token, "\r\n")):
		return ""
	case w.inField && strings.ContainsRune(token, 0):
		return "400 " // of the server: it is no request
	case w.inField && !strings.Contains(w.name, "cookie") && strings.ContainsAny(token, ", \t"):
		return "400 bad_request"
	}
	return fmt.Sprint(w.refusal, " ", p.Expect)
}
