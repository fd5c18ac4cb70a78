package caddymodule_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pollUntil waits for what happens soon unless something is broken.
func pollUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// withLines is the usual environment but for where its keys and its records are: that is in the lines.
func (g *running) withLines(lines ...string) string {
	usual := []string{"id " + environmentID, "issuer " + g.issuer.URL(), "audience " + audience}
	return strings.Replace(plainEnvironment, "{{environment}}", strings.Join(append(usual, lines...), "\n"), 1)
}

// clients ask without pause while a test does something to the gateway.
type clients struct {
	all  []*client
	stop func() // and wait until all have
}

// A client asks over one connection, which it keeps for as long as the gateway does.
type client struct {
	g    *running
	name string
	http *http.Client
	ask  func(*client) error // until the answer is here

	answers atomic.Int64
	config  atomic.Pointer[string] // X-Config of the last answer

	// What follows is the client's alone until it has stopped.
	secrets  []string
	spent    []spending
	repeated int // requests that got an answer in a second or third attempt only
}

// A spending is a request with a proof that serves once.
type spending struct {
	request
	number   string // by which the upstream knows it
	answered bool   // false: the answer to the attempt that spent it was lost on the way
	status   int    // of every further attempt
	code     string
}

// startClients has each of ask asked by one client, under its name.
func startClients(g *running, ask map[string]func(*client) error) *clients {
	var done sync.WaitGroup
	stop := make(chan struct{})
	cs := &clients{stop: sync.OnceFunc(func() {
		close(stop)
		done.Wait()
	})}
	for name, f := range ask {
		c := &client{g: g, name: name, ask: f, http: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}}
		cs.all = append(cs.all, c)
		done.Go(func() {
			defer c.http.CloseIdleConnections()
			if err := c.askUntil(stop); err != nil {
				g.t.Errorf("client %q: %v", name, err)
			}
		})
	}
	g.t.Cleanup(cs.stop)
	return cs
}

func (c *client) askUntil(stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := c.ask(c); err != nil {
			return err
		}
		c.answers.Add(1)
	}
}

// awaitAnswers waits until every client has got some more answers, the last one from this config.
func (cs *clients) awaitAnswers(t *testing.T, config string) {
	t.Helper()
	const some = 5
	before := make([]int64, len(cs.all))
	for i, c := range cs.all {
		before[i] = c.answers.Load()
	}
	pollUntil(t, "config "+config+" has answered every client", func() bool {
		for i, c := range cs.all {
			last := c.config.Load()
			if c.answers.Load() < before[i]+some || last == nil || *last != config {
				return false
			}
		}
		return true
	})
}

// send asks again where the connection was closed before any answer came. A server that
// shuts down does that to connections on which nothing is under way and to those that it
// has not accepted yet, whatever it serves, and a client has to be ready for it (RFC 9112
// section 9.5). That an answer is cut off, or that nobody listens, is an error.
func (c *client) send(r request) (got response, again bool, err error) {
	for range 3 {
		if got, err = c.try(r); !closedBeforeTheAnswer(err) {
			return got, again, err
		}
		again = true
		c.repeated++
	}
	return got, again, err
}

func (c *client) try(r request) (response, error) {
	got, err := (&caller{c.g, c.http}).call(r)
	switch {
	case err != nil && got.status != 0:
		return got, fmt.Errorf("the answer %d is cut off: %w", got.status, err)
	case err != nil:
		return got, err
	}
	config := got.header.Get("X-Config")
	c.config.Store(&config)
	return got, nil
}

func closedBeforeTheAnswer(err error) bool {
	return err != nil && !strings.Contains(err.Error(), "cut off") &&
		(errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
			strings.Contains(err.Error(), "server closed idle connection"))
}

// read asks for what a session is enough for.
func read(token string) func(*client) error {
	return func(c *client) error {
		got, _, err := c.send(request{path: "/wallets/1", bearer: token})
		return unexpected(got, err)
	}
}

// useElevated gets an elevated token at the endpoint and uses it.
func useElevated(session string) func(*client) error {
	return func(c *client) error {
		assertion := c.assertion()
		got, again, err := c.send(request{
			method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/verify",
			bearer: session, body: `{"jwt":"` + assertion + `"}`,
		})
		if again && err == nil && got.body["reason"] == "replayed" {
			return nil // the attempt before this one got the token, and its answer was lost
		}
		if err := unexpected(got, err); err != nil {
			return fmt.Errorf("exchanging an assertion: %w", err)
		}
		token, _ := got.body["elevatedAccessToken"].(string)
		c.secrets = append(c.secrets, token)
		return c.spend(request{bearer: session, elevated: token}, 403, "elevated_used")
	}
}

// useAssertion sends an assertion with the request itself.
func useAssertion(credential string) func(*client) error {
	return func(c *client) error {
		return c.spend(request{bearer: credential, assertion: c.assertion()}, 401, "replayed")
	}
}

// assertion is good for longer than the slowest machine takes for a test.
func (c *client) assertion() string {
	token := c.g.issuer.Assertion("alice", "wallet:export", map[string]any{"exp": time.Now().Add(50 * time.Minute).Unix()})
	c.secrets = append(c.secrets, token)
	return token
}

// spend presents a proof, of which further use is answered with status and code.
func (c *client) spend(r request, status int, code string) error {
	s := spending{request: r, number: fmt.Sprint(c.name, " ", len(c.spent)), status: status, code: code}
	s.method, s.path, s.header = "POST", "/wallets/1/export", http.Header{"X-Number": {s.number}}
	got, again, err := c.send(s.request)
	s.answered = err == nil && got.status == http.StatusOK
	if !s.answered && (!again || err != nil || got.status != status || got.code != code) {
		return fmt.Errorf("using a proof for the first time: %w", unexpected(got, err))
	}
	c.spent = append(c.spent, s)
	return nil
}

func unexpected(got response, err error) error {
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("got %d %s, want 200", got.status, got.raw)
	}
	return err
}
