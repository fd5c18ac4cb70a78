package caddymodule_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A page keeps the nonces that it has, and uses the oldest first. Whoever starts the demo
// anew must not have to sign in until they are used up.
func TestNoncesOfOneDemoAreGoodAtTheNext(t *testing.T) {
	page := newSDK(&running{t: t})
	const environment = "/api/v0/sdk/95b11417-f18f-457f-8804-68e361f9164f"
	addresses := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

	first := startDemo(t, t.TempDir())
	var given struct{ Nonces []string }
	answer := get(t, addresses.FindString(first.printed)+environment+"/nonces?count=2", "")
	if err := json.Unmarshal([]byte(answer.body), &given); err != nil || len(given.Nonces) != 2 {
		t.Fatalf("asked for two nonces, got %d %s", answer.status, answer.body)
	}
	first.end(t, syscall.SIGTERM)

	second := startDemo(t, t.TempDir())
	at := addresses.FindAllString(second.printed, 2)
	jwt := strings.TrimSpace(get(t, at[1]+"/login?user=alice", "").body)
	madeUp := strings.Repeat("0", len(given.Nonces[0]))
	for nonce, want := range map[string]int{given.Nonces[0]: http.StatusOK, madeUp: http.StatusUnprocessableEntity} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at[0]+environment+"/externalAuth/signin", strings.NewReader(`{"jwt":"`+jwt+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.Header, page.signed(request{}, nonce).header)
		r.Header.Set("Content-Type", "application/json")
		if got := send(t, r); got.status != want {
			t.Errorf("with the nonce %.8s…: got %d, want %d", nonce, got.status, want)
		}
	}
	second.end(t, syscall.SIGTERM)
}
