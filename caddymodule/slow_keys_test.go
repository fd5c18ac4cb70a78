package caddymodule_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// slowKeys is an issuer's JWKS that answers at once when it is asked first, and then
// does not before it is told to.
type slowKeys struct {
	url    string
	asked  chan struct{} // closed when somebody has asked again
	answer chan struct{} // close it, and it answers
}

func newSlowKeys(t *testing.T, issuer *verifiertest.Issuer) *slowKeys {
	t.Helper()
	s := &slowKeys{asked: make(chan struct{}), answer: make(chan struct{})}
	var times atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch times.Add(1) {
		case 1:
			_, _ = w.Write(issuer.JWKS())
			return
		case 2:
			close(s.asked)
		}
		select {
		case <-s.answer:
			_, _ = w.Write(issuer.JWKS())
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// giveUp sends a request, and gives it up once it waits for what after says.
func (g *running) giveUp(r request, after <-chan struct{}) {
	req, err := g.newRequest(r)
	if err != nil {
		g.t.Error(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-after
		cancel()
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if res, err := client.Do(req.WithContext(ctx)); err == nil {
		_ = res.Body.Close()
		g.t.Errorf("it was answered %d", res.StatusCode)
	}
}
