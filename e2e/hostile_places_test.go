package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Where a gateway could show a secret, other than in its answers to clients: to whoever asks
// its admin address, in what it writes to its output and to its logs, and on its disk. The end of
// every gateway of every test is the moment at which all of that is looked at.

// adminPlaces are what Caddy's admin address shows. /config/ holds the config as it was loaded: of a
// secret that the config takes from a placeholder it shows the placeholder, and one
// that stands in it in plain text is the operator's own.
var adminPlaces = []string{
	"/metrics", "/config/", "/byoa/health", "/byoa/environments", "/byoa/nowhere",
	"/reverse_proxy/upstreams", "/debug/vars", "/debug/pprof/goroutine?debug=2",
}

// publicEndpoints answer anybody.
var publicEndpoints = []string{"/settings", "/nonce", "/.well-known/jwks.json"}

// survey keeps what the admin address and the public endpoints show to be searched. A gateway
// that never served or has ended shows nothing.
func (p *process) survey(t testing.TB) {
	t.Helper()
	if !p.serves || p.hasEnded() {
		return
	}
	for _, path := range adminPlaces {
		p.ask(t, path)
	}
	environments := p.ask(t, "/byoa/environments")
	for _, name := range namesIn(environments, "name") {
		p.ask(t, "/byoa/environments/"+name+"/decisions")
	}
	for _, id := range namesIn(environments, "id") {
		for _, endpoint := range publicEndpoints {
			// It is no trouble if nobody answers: a config without the site may be in force.
			_, _ = p.look("http://" + p.site + "/api/v0/sdk/" + id + endpoint)
		}
	}
}

// ask gets one answer of the admin API, whatever its status is.
func (p *process) ask(t testing.TB, path string) (body string) {
	t.Helper()
	body, err := p.look("http://" + p.admin + path)
	if err != nil && !p.hasEnded() {
		t.Errorf("asking the admin API: %v", err)
	}
	return body
}

// look keeps what is at a URL to be searched.
func (p *process) look(url string) (body string, err error) {
	client := http.Client{Timeout: patience}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	place := strings.NewReplacer("http://"+p.admin, "the admin API's ", "http://"+p.site, "the site's ").Replace(url)
	p.secrets.Watch(place, written(res.Header)+string(text))
	return string(text), err
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// inspect holds everything that the process wrote against the secrets that were about.
func (p *process) inspect(t testing.TB) {
	t.Helper()
	p.readDisk(t)
	p.readLogs(t)
	p.secrets.report(t)
}

// readLogs keeps all that the process wrote to its output and to its logs, and looks for
// signs of trouble in it.
func (p *process) readLogs(t testing.TB) {
	t.Helper()
	logs := filesIn(t, p.logs)
	if len(logs) < 2 { // the Caddyfile, and what it wrote
		t.Errorf("looking for logs: there are %q", logs)
	}
	for _, file := range logs {
		name := filepath.Base(file)
		if name == "Caddyfile" {
			continue
		}
		text := readFile(t, file)
		p.secrets.Watch(name, string(text))
		for _, trouble := range []string{"WARNING: DATA RACE", "panic:", "goroutine 1 ["} {
			if at := bytes.Index(text, []byte(trouble)); at >= 0 {
				t.Errorf("%s: %s", name, text[at:min(at+3000, len(text))])
			}
		}
	}
}

// storageLine finds where a config keeps Caddy's storage, if not in the data directory.
var storageLine = regexp.MustCompile(`(?m)^\s*storage file_system (\S+)`)

// readDisk takes the keys in Caddy's storage for secrets, and keeps all else that the process
// may have written there or in its data and config directories, such as the store, or the config that
// Caddy saves by itself.
func (p *process) readDisk(t testing.TB) {
	t.Helper()
	roots := []string{p.cmd.Dir}
	if m := storageLine.FindSubmatch(readFile(t, filepath.Join(p.logs, "Caddyfile"))); m != nil {
		roots = append(roots, string(m[1]))
	}
	for _, root := range roots {
		for _, file := range filesIn(t, root) {
			if content := readFile(t, file); !p.learnKeys(t, file, content) {
				name, _ := filepath.Rel(root, file)
				p.secrets.Watch("the file "+name, withPlainKeys(content))
			}
		}
	}
}

// learnKeys reports whether a file is one of the gateway's keys: those that sign tokens, and
// those under which nonces are made.
func (p *process) learnKeys(t testing.TB, file string, content []byte) bool {
	t.Helper()
	switch dir := filepath.Dir(file); {
	case strings.HasSuffix(dir, "/byoa/keys") && strings.HasSuffix(file, ".json"):
		if p.secrets.AddKeys("the signing keys", content) == 0 {
			t.Errorf("%s holds no private key", file)
		}
		return true
	case strings.HasSuffix(dir, "/byoa/nonces") && strings.HasSuffix(file, ".key"):
		p.secrets.AddBytes("the nonce key", content)
		return true
	default:
		return false
	}
}

// withPlainKeys is a file as it is, but for the kept key set of an issuer: that is in base64, in which
// a key and the header of a token begin with the same letters.
func withPlainKeys(content []byte) string {
	var kept struct{ Keys string }
	if json.Unmarshal(content, &kept) != nil || kept.Keys == "" {
		return string(content)
	}
	plain, err := base64.StdEncoding.DecodeString(kept.Keys)
	if err != nil {
		return string(content)
	}
	return strings.ReplaceAll(string(content), kept.Keys, string(plain))
}

// filesIn are the files below a directory. One that goes away meanwhile is none.
func filesIn(t testing.TB, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		if os.IsNotExist(err) {
			err = nil
		}
		return err
	})
	if err != nil {
		t.Errorf("looking for files: %v", err)
	}
	slices.Sort(files)
	return files
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	return content
}
