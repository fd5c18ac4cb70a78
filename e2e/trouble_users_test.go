package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A countingAPI answers with whose the token is that it got, and how often a request with this
// number has come.
type countingAPI struct {
	url   string
	mu    sync.Mutex
	times map[string]int
}

func startCountingAPI(t *testing.T) *countingAPI {
	t.Helper()
	api := &countingAPI{times: make(map[string]int)}
	server := httptest.NewUnstartedServer(api)
	server.Config.SetKeepAlivesEnabled(false) // so that the gateway holds no connections when nobody is at it
	server.Start()
	t.Cleanup(server.Close)
	api.url = server.URL
	return api
}

func (api *countingAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	answer := part(token, 1)
	api.mu.Lock()
	defer api.mu.Unlock()
	api.times[r.Header.Get(numberHeader)]++
	answer["times"] = api.times[r.Header.Get(numberHeader)]
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(claims{"user": answer["external_user_id"], "scope": answer["scope"], "times": answer["times"]})
}

// reached is how often a request with this number came.
func (api *countingAPI) reached(number string) int {
	api.mu.Lock()
	defer api.mu.Unlock()
	return api.times[number]
}

func (api *countingAPI) forget(number string) {
	api.mu.Lock()
	defer api.mu.Unlock()
	delete(api.times, number)
}

// part is the header of a token, 0, or its claims, 1, as they are; empty if it is no token.
func part(token string, n int) claims {
	decoded := make(claims)
	if parts := strings.Split(token, "."); len(parts) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[n])
		_ = json.Unmarshal(raw, &decoded)
	}
	return decoded
}

// A troubledUser does one thing, again and again, over a connection of their own.
type troubledUser struct {
	storm *storm
	name  string
	http  *http.Client
	turn  func(*troubledUser) error

	// What follows is the user's alone until they have stopped.
	requests int
	passed   int
	seen     map[string]int // answers, by status and code
	spent    []spentRequest
}

// A spentRequest is one with a proof that has served.
type spentRequest struct {
	request
	number string
	status int // of every further one
	code   string
	taken  time.Time
}

var troubledTurns = []func(*troubledUser) error{
	(*troubledUser).readWithExternal, (*troubledUser).readWithSession,
	(*troubledUser).exportWithAssertion, (*troubledUser).exportWithElevated,
}

func newTroubledUser(s *storm, n int) *troubledUser {
	return &troubledUser{
		storm: s, name: fmt.Sprint("user-", n), turn: troubledTurns[n%len(troubledTurns)],
		http: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 2 * patience},
		seen: make(map[string]int),
	}
}

func (u *troubledUser) askUntil(t *testing.T, calm *atomic.Bool) {
	for !calm.Load() && !t.Failed() {
		if err := u.turn(u); err != nil {
			t.Errorf("%s: %v", u.name, err)
			return
		}
	}
	if err := u.turn(u); err != nil {
		t.Errorf("%s, when all was well again: %v", u.name, err)
	}
}

const perSession = 5

func (u *troubledUser) readWithExternal() error {
	external, err := u.sign(nil, tokenClaims(claims{"sub": u.name}))
	if err != nil {
		return err
	}
	return u.read(external)
}

// readWithSession has a session token, and then another one.
func (u *troubledUser) readWithSession() error {
	session, err := u.signIn()
	if err != nil {
		return err
	}
	if err := u.read(session); err != nil {
		return err
	}
	got, _, err := u.insist(post(apiPath+"/refresh").header("Content-Type", "application/json").bearer(session))
	if err != nil {
		return fmt.Errorf("refreshing: %w", err)
	}
	return u.read(got.text("minifiedJwt"))
}

func (u *troubledUser) signIn() (session string, err error) {
	external, err := u.sign(nil, tokenClaims(claims{"sub": u.name}))
	if err != nil {
		return "", err
	}
	got, _, err := u.insist(postJSON(apiPath+"/externalAuth/signin", claims{"jwt": external}), external)
	if err != nil {
		return "", fmt.Errorf("signing in: %w", err)
	}
	return got.text("minifiedJwt"), nil
}

func (u *troubledUser) read(token string) error {
	for range perSession {
		got, _, err := u.insist(get(home).bearer(token), token)
		if err == nil {
			err = u.mustBeMine(got, nil)
		}
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
	}
	return nil
}

// exportWithAssertion presents an assertion, twice.
func (u *troubledUser) exportWithAssertion() error {
	return u.withAssertions(func(session, assertion string) error {
		r := spentRequest{request: post(export).bearer(session).assertion(assertion), status: 401, code: "replayed"}
		if err := u.spend(r, assertion); err != nil {
			return fmt.Errorf("using an assertion: %w", err)
		}
		return nil
	})
}

// exportWithElevated exchanges an assertion for an elevated token, and presents both twice.
func (u *troubledUser) exportWithElevated() error {
	return u.withAssertions(func(session, assertion string) error {
		exchange := spentRequest{request: verifyRequest(session, assertion), status: 422, code: "replayed"}
		got, again, err := u.insist(exchange.request, assertion)
		if again && got != nil && got.text("reason") == "replayed" {
			return nil // the attempt before had the token, and its answer was lost
		}
		if err != nil {
			return fmt.Errorf("exchanging an assertion: %w", err)
		}
		if err := u.mustBeSpent(exchange); err != nil {
			return err
		}
		r := spentRequest{request: post(export).bearer(session).elevated(got.text("elevatedAccessToken")), status: 403, code: "elevated_used"}
		if err := u.spend(r); err != nil {
			return fmt.Errorf("using an elevated token: %w", err)
		}
		return nil
	})
}

// withAssertions signs in, and has something done with each of some assertions.
func (u *troubledUser) withAssertions(use func(session, assertion string) error) error {
	session, err := u.signIn()
	if err != nil {
		return err
	}
	for range perSession {
		assertion, err := u.assertion()
		if err != nil {
			return err
		}
		if err := use(session, assertion); err != nil {
			return err
		}
	}
	return nil
}

// spend presents a proof until it is taken, and then once more.
func (u *troubledUser) spend(r spentRequest, signed ...string) error {
	u.requests++
	r.number = fmt.Sprint(u.name, " ", u.requests)
	r.request = r.header(numberHeader, r.number)
	got, again, err := u.insist(r.request, signed...)
	lost := again && got != nil && got.status == r.status && got.text("code") == r.code
	if err != nil && !lost {
		return err
	}
	if !lost {
		if err := u.mustBeMine(got, "wallet:export"); err != nil {
			return err
		}
	}
	u.keep(r)
	return u.mustBeSpent(r)
}

// A user keeps this many proofs to try them at the end, and none that is older than the last one
// by more: it would be refused because it, or the key that signed it, is no longer good.
const (
	maxSpent = 100
	maxAge   = time.Minute
)

func (u *troubledUser) keep(r spentRequest) {
	r.taken = time.Now()
	u.spent = append(u.spent, r)
	for len(u.spent) > maxSpent || r.taken.Sub(u.spent[0].taken) > maxAge {
		u.storm.api.forget(u.spent[0].number)
		u.spent = u.spent[1:]
	}
}

// mustBeSpent returns an error unless a proof is refused, and the upstream was reached with it
// no more than once.
func (u *troubledUser) mustBeSpent(r spentRequest) error {
	got, _, err := u.send(r.request)
	if err != nil {
		return err
	}
	if got.status != r.status || got.text("code") != r.code && got.text("reason") != r.code {
		return fmt.Errorf("a proof that has served got %v, want %d %s", got, r.status, r.code)
	}
	if n := u.storm.api.reached(r.number); r.number != "" && n > 1 {
		return fmt.Errorf("the upstream was reached %d times with one proof", n)
	}
	return nil
}

// mustBeMine returns an error unless the upstream took the request for this user's.
func (u *troubledUser) mustBeMine(got *answer, scope any) error {
	if got.text("user") != u.name || got.field("scope") != scope {
		return fmt.Errorf("the upstream took it for %v's with scope %v", got.field("user"), got.field("scope"))
	}
	return nil
}

// assertionLifetime is longer than a user insists.
const assertionLifetime = 50 * time.Minute

func (u *troubledUser) assertion() (string, error) {
	return u.sign(claims{"typ": stepUpType}, assertionClaims("wallet:export", claims{"sub": u.name, "exp": time.Now().Add(assertionLifetime).Unix()}))
}

func (u *troubledUser) sign(header, payload claims) (string, error) {
	var signed struct{ Token string }
	err := exchangeJSON(u.storm.issuer.url+"/sign", signing{Alg: "ES256", Header: header, Payload: payload}, &signed)
	return signed.Token, err
}

// insist sends a request until it is answered 200. A key of the login system that the gateway
// has never had is the one thing that may keep it from that, and for as long as the
// login system is in trouble; signed are the tokens of the request that need such keys.
func (u *troubledUser) insist(r request, signed ...string) (got *answer, again bool, err error) {
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
		known := u.storm.knowsKeysOf(signed)
		var repeated bool
		got, repeated, err = u.send(r)
		again = again || repeated
		switch {
		case err != nil:
			return nil, again, err
		case got.status == http.StatusOK:
			u.passed++
			u.storm.learnKeysOf(signed)
			return got, again, nil
		case known || !got.lacksKeys() || time.Now().After(deadline):
			return got, again, fmt.Errorf("got %v, want 200 (its keys were known: %t)", got, known)
		}
	}
}

// lacksKeys says whether the gateway refused for want of a key, in the way that is promised.
func (a *answer) lacksKeys() bool {
	switch a.status {
	case http.StatusServiceUnavailable:
		return a.text("code") == "keys_unavailable" && a.header.Get("Retry-After") != ""
	case http.StatusUnauthorized:
		return a.text("code") == "key_not_found"
	case http.StatusUnprocessableEntity:
		return a.text("reason") == "key_not_found"
	default:
		return false
	}
}

func (s *storm) knowsKeysOf(signed []string) bool {
	for _, token := range signed {
		if _, known := s.keys.Load(part(token, 0)["kid"]); !known && part(token, 1)["iss"] != "urn:uuid:"+environmentID {
			return false
		}
	}
	return true
}

func (s *storm) learnKeysOf(signed []string) {
	for _, token := range signed {
		if part(token, 1)["iss"] != "urn:uuid:"+environmentID {
			s.keys.Store(part(token, 0)["kid"], true)
		}
	}
}

// send asks again where the connection was closed before any answer came, which a server that
// goes does to connections on which nothing is under way (RFC 9112 section 9.5).
func (u *troubledUser) send(r request) (got *answer, again bool, err error) {
	for range 5 {
		if got, err = u.try(r); !closedWithoutAnswer(err) {
			return got, again, err
		}
		again = true
	}
	return nil, again, err
}

var errCutOff = errors.New("the answer is cut off")

func closedWithoutAnswer(err error) bool {
	return err != nil && !errors.Is(err, errCutOff) &&
		(errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
			strings.Contains(err.Error(), "server closed idle connection"))
}

func (u *troubledUser) try(r request) (*answer, error) {
	req, err := http.NewRequest(r.method, "http://"+u.storm.address+r.path, bytes.NewReader([]byte(r.body)))
	if err != nil {
		return nil, err
	}
	for _, line := range r.lines {
		req.Header.Add(line[0], line[1])
	}
	res, err := u.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%w after %d: %w", errCutOff, res.StatusCode, err)
	}
	a := &answer{status: res.StatusCode, header: res.Header, body: string(body)}
	if a.status >= http.StatusBadRequest {
		u.storm.secrets.judge(r.path, a)
	}
	u.seen[fmt.Sprint(a.status, " ", a.text("code"), a.text("reason"))]++
	return a, nil
}
