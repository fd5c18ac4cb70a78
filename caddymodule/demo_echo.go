package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
)

// echoed is what the demo's API answers: the request as the gateway passed it on.
type echoed struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`

	// Claims are those of the tokens in the headers, by header, for people to read: nothing is verified here.
	Claims map[string]json.RawMessage `json:"claims,omitempty"`
}

// echo stands for the API behind the gateway.
func echo(w http.ResponseWriter, r *http.Request) {
	e := echoed{Method: r.Method, Path: r.URL.Path, Headers: make(map[string]string), Claims: make(map[string]json.RawMessage)}
	for name, values := range r.Header {
		e.Headers[name] = strings.Join(values, ", ")
		for _, v := range values {
			_, token, scheme := strings.Cut(v, " ")
			if !scheme {
				token = v
			}
			if claims := payloadOf(token); claims != nil {
				e.Claims[name] = claims
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(e) // a client that is gone needs no answer
}
