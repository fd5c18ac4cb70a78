package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// What the tokens of the demo say, which is what Caddyfile.example asks for.
const (
	demoAudience          = "https://api.example.com"
	demoAssertionType     = "step-up+jwt"
	demoAssertionAudience = "byoa-step-up"
	demoJWKSPath          = "/.well-known/jwks.json"
)

// demoLogin stands for the login system and the backend that an owner has already.
// It is none: whoever can reach it gets a token for whatever user they name.
// In a browser, only pages of one origin can read what it answers.
type demoLogin struct {
	issuer string
	app    string // that origin
	signer *signer
	jwks   []byte
}

// newDemoLogin makes a key that lives as long as the process.
func newDemoLogin(issuer, app string) (*demoLogin, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for the demo login: %w", err)
	}
	s, err := newSigner(key, "", "demo-"+rand.Text()[:8])
	if err != nil {
		return nil, err
	}
	jwks, err := publishedKey(&key.PublicKey, s.kid)
	return &demoLogin{issuer: issuer, app: app, signer: s, jwks: jwks}, err
}

// publishedKey is a JWK Set of one key on P-256 (RFC 7517 section 5).
func publishedKey(key *ecdsa.PublicKey, kid string) ([]byte, error) {
	point, err := key.Bytes() // a byte that says uncompressed, x, y
	if err != nil {
		return nil, err
	}
	half := len(point) / 2
	return json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
		"x": base64.RawURLEncoding.EncodeToString(point[1 : 1+half]),
		"y": base64.RawURLEncoding.EncodeToString(point[1+half:]),
	}}})
}

func (l *demoLogin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+demoJWKSPath, l.serveJWKS)
	mux.HandleFunc("GET /login", l.logIn)
	mux.HandleFunc("POST /login", l.logIn)
	mux.HandleFunc("GET /step-up", l.stepUp)
	mux.HandleFunc("POST /step-up", l.stepUp)
	return newCORS([]string{l.app}, []string{http.MethodGet, http.MethodPost}, []string{"Content-Type"}).Handler(mux)
}

func (l *demoLogin) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(l.jwks)
}

// logIn hands out what a login system gives a user who has signed in: the external JWT.
func (l *demoLogin) logIn(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user == "" {
		http.Error(w, "who? add ?user=alice", http.StatusBadRequest)
		return
	}
	now := time.Now()
	l.answer(w, "JWT", map[string]any{
		"iss":            l.issuer,
		"sub":            user,
		"aud":            demoAudience,
		"jti":            rand.Text(), // who has left and comes back within a second is not refused
		"iat":            now.Unix(),
		"exp":            now.Add(time.Hour).Unix(),
		"auth_time":      now.Unix(),
		"email":          user + "@example.com",
		"email_verified": true,
	})
}

// stepUp hands out what a backend signs once the user has confirmed an operation: an assertion.
func (l *demoLogin) stepUp(w http.ResponseWriter, r *http.Request) {
	user, scope := r.FormValue("user"), r.FormValue("scope")
	if _, err := verifier.ParseScopes(scope); err != nil || user == "" {
		http.Error(w, "who, and for what? add ?user=alice&scope=wallet:export", http.StatusBadRequest)
		return
	}
	claims := assertionClaims(user, scope, time.Now(), time.Minute)
	claims["aud"] = demoAssertionAudience
	l.answer(w, demoAssertionType, claims)
}

func (l *demoLogin) answer(w http.ResponseWriter, typ string, claims map[string]any) {
	token, err := l.signer.sign(typ, claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, token+"\n")
}
