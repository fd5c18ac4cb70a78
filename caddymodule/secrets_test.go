package caddymodule_test

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// What the gateway wrote and said is held, when a test ends, against all tokens of the
// test and all keys of the gateway. The tests of package e2e do the same with the real binary,
// whose standard output and error are part of it.

// heard learns the tokens of a request to the gateway.
func (g *running) heard(req *http.Request, body string) {
	for name, values := range req.Header {
		for _, value := range values {
			g.kept.Learn("a request's "+name, value)
		}
	}
	g.kept.Learn("a request's target", req.URL.RequestURI())
	g.kept.Learn("a request's body", body)
}

// said learns the tokens of an answer, or, where none may be in it, keeps it to be searched: the whole
// of an error, and the header of a redirect.
func (g *running) said(to string, status int, header http.Header, body string) {
	to, _, _ = strings.Cut(to, "?")
	var head strings.Builder
	_ = header.Write(&head)
	if status < http.StatusMultipleChoices {
		g.kept.Learn("the answer to "+to, head.String()+body)
		return
	}
	g.kept.Watch("the header of the answer to "+to, head.String())
	if status >= http.StatusBadRequest {
		g.kept.Watch("the body of the answer to "+to, body)
	}
}

// tolerate names places that a test wants to hold tokens, by how they begin.
func (g *running) tolerate(places ...string) { g.tolerated = append(g.tolerated, places...) }

// survey keeps what the operator is shown: metrics, and the answers of the admin API.
func (g *running) survey() {
	ctx := caddy.ActiveContext()
	if registry := ctx.GetMetricsRegistry(); registry != nil {
		families, err := registry.Gather()
		if err != nil {
			g.t.Errorf("gathering the metrics: %v", err)
		}
		for _, family := range families {
			g.kept.Watch("the metric "+family.GetName(), family.String())
		}
	}
	if g.admin == "" || g.admin == "off" {
		return
	}
	for _, path := range []string{"/metrics", "/config/", "/byoa/health", "/byoa/environments", on("default", "decisions"), on("nobody", "decisions")} {
		res, err := http.Get("http://" + g.admin + path)
		if err != nil {
			return // the test has ended Caddy, or taken its admin API away
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		g.kept.Watch("the admin API's "+path, string(body))
	}
}

// checkSecrets fails the test if a part of a token, or of a key, is in what was kept or
// written. Caddy must have ended.
func (g *running) checkSecrets() {
	g.t.Helper()
	for _, token := range g.secrets {
		g.kept.Add("the test", token)
	}
	for _, token := range g.upstream.tokens() {
		g.kept.Learn("a request to the upstream", token)
	}
	g.readDisk()
	for _, leak := range g.kept.Leaks() {
		if !slices.ContainsFunc(g.tolerated, func(place string) bool { return strings.HasPrefix(leak.Place, place) }) {
			g.t.Error(leak)
		}
	}
}

// readDisk takes the keys in the storage for secrets, and keeps all else that was written: the logs,
// the store, and what tests put beside them. The key sets of issuers are left out, because
// they are kept in base64, in which a key and the header of a token begin with the same letters.
func (g *running) readDisk() {
	g.t.Helper()
	err := filepath.WalkDir(g.storage(), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(file)
		switch dir := filepath.Dir(file); {
		case err != nil:
			g.t.Logf("not searched: %v", err)
		case strings.HasSuffix(dir, "/byoa/keys"):
			g.kept.AddKeys("the signing keys", content)
		case strings.HasSuffix(dir, "/byoa/nonces"):
			g.kept.AddBytes("the nonce key", content)
		case !strings.HasSuffix(dir, "/byoa/jwks"):
			g.kept.Watch(filepath.Base(file), string(content))
		}
		return nil
	})
	if err != nil {
		g.t.Errorf("looking for what was written: %v", err)
	}
}

// shownSegment returns the payload or signature of token if text holds it. The header
// of a token is the same for all, and no secret.
func shownSegment(text, token string) string {
	for i, segment := range strings.Split(token, ".") {
		if i > 0 && len(segment) > 16 && strings.Contains(text, segment) {
			return segment
		}
	}
	return ""
}
