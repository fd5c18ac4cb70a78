package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// Caddy may listen for a config before it is known whether that runs. Who asks then is told
// to come back, and a page can read that, and nothing of why.
func TestEndpointsOfAnEnvironmentThatDoesNotOpen(t *testing.T) {
	const id = "95b11417-f18f-457f-8804-68e361f9164f"
	a := &API{Prefix: defaultPrefix, api: api{served: make(map[string]*endpoints), logger: zap.NewNop()}}
	a.serve(&live{
		config:   &Environment{ID: id},
		cors:     newCORSPolicy([]string{appOrigin}),
		lease:    new(lease),
		observer: &observer{audit: strayAudit()},
		gateway:  func() (*gateway.Environment, error) { return nil, errors.New("the disk is gone") },
	})
	ask := func(method, origin string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(method, "/api/v0/sdk/"+id+"/settings", nil)
		r.Header.Set("Origin", origin)
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", http.MethodGet)
		}
		w := httptest.NewRecorder()
		if err := a.ServeHTTP(w, r, nil); err != nil {
			t.Fatal(err)
		}
		return w
	}
	for origin, reader := range map[string]string{appOrigin: appOrigin, "https://evil.example": ""} {
		got := ask(http.MethodGet, origin)
		if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || !strings.Contains(got.Body.String(), `"code":"store_unavailable"`) {
			t.Errorf("%s: %d %v %s, want 503 that says when to come back", origin, got.Code, got.Header(), got.Body)
		}
		if allowed := got.Header().Get("Access-Control-Allow-Origin"); allowed != reader {
			t.Errorf("%s: pages of %q can read the answer, want %q", origin, allowed, reader)
		}
		if strings.Contains(got.Body.String(), "disk") {
			t.Errorf("%s: the answer says why: %s", origin, got.Body)
		}
	}
	if got := ask(http.MethodOptions, appOrigin); got.Code != http.StatusNoContent || got.Header().Get("Access-Control-Allow-Origin") != appOrigin {
		t.Errorf("the preflight is answered %d %v, want 204 for the page", got.Code, got.Header())
	}
}
