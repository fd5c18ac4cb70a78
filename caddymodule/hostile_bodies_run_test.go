package caddymodule_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// halves is an upstream with which a body goes in two parts.
type halves struct {
	address string
	arrived chan struct{} // gets one for each first part of a request
	goOn    chan struct{} // has to get one for each second part of an answer
}

const firstHalf, secondHalf = "first", "second"

func newHalves(t *testing.T) *halves {
	t.Helper()
	h := &halves{arrived: make(chan struct{}, 1), goOn: make(chan struct{}, 1)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.address = strings.TrimPrefix(server.URL, "http://")
	return h
}

// ServeHTTP tells when the first part of an upload is here, and waits before the second of a download.
func (h *halves) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/up") {
		first := make([]byte, len(firstHalf))
		if _, err := io.ReadFull(r.Body, first); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.arrived <- struct{}{}
		rest, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append(first, rest...))
		return
	}
	_, _ = io.WriteString(w, firstHalf)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-h.goOn:
		_, _ = io.WriteString(w, secondHalf)
	case <-r.Context().Done():
	}
}

// outcome is what came of an exchange in two parts.
type outcome struct {
	status int
	proto  string
	body   string
	err    error
}

// upload sends a body in two parts, and says whether the first had arrived before the second was sent.
func (h *halves) upload(client http.RoundTripper, r *http.Request, patience time.Duration) (early bool, got outcome) {
	body, parts := io.Pipe()
	r.Body, r.ContentLength = body, -1
	done := make(chan outcome, 1)
	go func() { done <- finish(client, r, func() {}) }()
	_, _ = io.WriteString(parts, firstHalf)
	select {
	case <-h.arrived:
		early = true
	case got = <-done: // it was refused
		_ = parts.Close()
		return false, got
	case <-time.After(patience):
	}
	_, _ = io.WriteString(parts, secondHalf)
	_ = parts.Close()
	got = <-done
	if !early {
		<-h.arrived
	}
	return early, got
}

// download gets an answer in two parts, and says whether the first had come before the second was made.
func (h *halves) download(client http.RoundTripper, r *http.Request, patience time.Duration) (early bool, got outcome) {
	first, done := make(chan struct{}), make(chan outcome, 1)
	go func() { done <- finish(client, r, func() { close(first) }) }()
	select {
	case <-first:
		early = true
	case got = <-done:
		return false, got
	case <-time.After(patience):
	}
	h.goOn <- struct{}{}
	return early, <-done
}

// finish reads the whole answer, and calls begun when it has the first part.
func finish(client http.RoundTripper, r *http.Request, begun func()) outcome {
	res, err := client.RoundTrip(r)
	if err != nil {
		return outcome{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	got := outcome{status: res.StatusCode, proto: res.Proto}
	var all bytes.Buffer
	if _, got.err = io.CopyN(&all, res.Body, int64(len(firstHalf))); got.err == nil {
		begun()
		_, got.err = io.Copy(&all, res.Body)
	}
	got.body = all.String()
	return got
}

// halvesSite asks for a session alone, and on another path for a proof.
func halvesSite(h *halves, lines string) string {
	return `byoa_api
	byoa
	step_up {
		/plain/{way} -
		/paid/{way}  wallet:export
	}
	reverse_proxy ` + h.address + ` {
		flush_interval -1
		` + lines + `
	}`
}

// A passage is a way to be let through, with what it takes.
type passage struct {
	name, path string
	proof      func(g *running) http.Header
}

var passages = []passage{
	{"a session", "/plain/", func(*running) http.Header { return http.Header{} }},
	{"an assertion", "/paid/", func(g *running) http.Header {
		return http.Header{"X-Step-Up-Assertion": {g.assertion("alice", "wallet:export")}}
	}},
}

// A keeping is a config, and whether it keeps bodies.
type keeping struct {
	lines    string // of reverse_proxy
	kept     bool
	patience time.Duration // what is not to come cannot be waited for long
}

func (k keeping) run(t *testing.T) {
	h := newHalves(t)
	g := prepareWire(t)
	g.load(sdkEnvironment, halvesSite(h, k.lines))
	external := g.external("alice")
	for protocol, client := range g.protocols() {
		for _, p := range passages {
			up := g.halfRequest(t, http.MethodPost, p.path+"up", external, p.proof(g))
			early, got := h.upload(client, up, k.patience)
			k.check(t, protocol+", up, with "+p.name, early, got)
			down := g.halfRequest(t, http.MethodGet, p.path+"down", external, p.proof(g))
			early, got = h.download(client, down, k.patience)
			k.check(t, protocol+", down, with "+p.name, early, got)
		}
	}
}

func (k keeping) check(t *testing.T, name string, early bool, got outcome) {
	t.Helper()
	if got.err != nil || got.status != 200 || got.body != firstHalf+secondHalf || !strings.HasPrefix(name, got.proto) {
		t.Fatalf("%s: %+v", name, got)
	}
	if early == k.kept {
		t.Errorf("%s: the first part went on before there was a second one: %t", name, early)
	}
}

// A gateway that collects a body before it lets it on, be it only to look for a token
// there (heimdall before 0.17.20), can be filled up by anybody, and breaks every exchange that
// goes on in steps. Nothing of a body is kept, in either direction.
func TestBodiesAreNotBuffered(t *testing.T) { keeping{patience: time.Minute}.run(t) }

// The control: where the proxy behind the gate is told to keep bodies, it shows.
func TestBodiesAreBufferedWhereTheProxyIsToldTo(t *testing.T) {
	keeping{lines: "request_buffers 1MiB\nresponse_buffers 1MiB", kept: true, patience: 200 * time.Millisecond}.run(t)
}

// halfRequest comes from a page, so that the headers of the answer are the gateway's to settle.
func (g *running) halfRequest(t *testing.T, method, path, external string, proof http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://localhost:"+portOf(g.address)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = proof
	r.Header.Set("Authorization", "Bearer "+external)
	r.Header.Set("Origin", pageOrigin)
	return r
}
