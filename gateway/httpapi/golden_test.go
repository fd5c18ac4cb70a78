package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

var update = flag.Bool("update", false, "write the answers into the golden files")

// sites are those that a golden file can name.
var sites = map[string]func(t testing.TB) *site{
	"plain":   func(t testing.TB) *site { t.Helper(); return newSite(t, httpapi.Options{}) },
	"linking": func(t testing.TB) *site { t.Helper(); return linkingSite(t, httpapi.Options{}) },
	"cookies": func(t testing.TB) *site {
		t.Helper()
		return newSite(t, httpapi.Options{ExternalCookie: "session_jwt", SessionCookie: "__Host-byoa", CookieAllowed: allowAll})
	},
	"scopes": func(t testing.TB) *site {
		t.Helper()
		return newSite(t, httpapi.Options{}, func(c *gateway.Config) {
			c.Scopes = map[string]gateway.ScopeRule{"wallet:export": {}, "wallet:sign": {MultiUse: true, Lifetime: 10 * time.Minute}}
		})
	},
	"off": func(t testing.TB) *site {
		t.Helper()
		return newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Disabled = true })
	},
	"broken": func(t testing.TB) *site {
		t.Helper()
		return newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Store = brokenStore{c.Store} })
	},
}

// story is a golden file: a line "site: <name>", and sections "request", each with the
// section "answer" that it gets, and "later", by how much the clock moves on.
type story struct {
	*site
	session string            // the token that the last session was given
	tokens  map[string]string // that were signed, by what stands for them
	began   time.Time
}

// What is sent and what comes back, to the field: all of status, headers and body.
// What differs from run to run stands there as what it is, in braces.
func TestAnswersToTheField(t *testing.T) {
	for _, path := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, txtar.Parse(want))
			switch {
			case *update:
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			case !bytes.Equal(got, want):
				t.Errorf("%s", diff.Diff(path, want, "got", got))
			}
		})
	}
}

// Every endpoint has a golden of what it answers when all is well.
func TestEveryEndpointHasItsAnswer(t *testing.T) {
	answered := map[string]bool{}
	for _, path := range goldens(t) {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range archive.Files {
			if line, _, _ := strings.Cut(string(f.Data), "\n"); f.Name == "answer" && (line == "200" || line == "204") {
				asked, _, _ := strings.Cut(string(archive.Files[i-1].Data), "\n")
				endpoint, _, _ := strings.Cut(asked, "?")
				answered[endpoint] = true
			}
		}
	}
	for path, method := range methods {
		if !answered[method+" "+path] {
			t.Errorf("no golden has %s %s", method, path)
		}
	}
}

func goldens(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/answers/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files (%v)", err)
	}
	return paths
}

// tell plays the archive's requests against its site, and returns it with the answers that came.
func tell(t *testing.T, archive *txtar.Archive) []byte {
	t.Helper()
	_, name, _ := strings.Cut("\n"+string(archive.Comment), "\nsite: ")
	open, ok := sites[strings.TrimSpace(name)]
	if !ok {
		t.Fatalf("there is no site %q", name)
	}
	s := &story{site: open(t), tokens: map[string]string{}}
	s.began = s.clock.Now().Truncate(time.Millisecond)
	told := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		switch f.Name {
		case "later":
			d, err := time.ParseDuration(strings.TrimSpace(string(f.Data)))
			if err != nil {
				t.Fatal(err)
			}
			s.clock.Advance(d)
			told.Files = append(told.Files, f)
		case "request":
			told.Files = append(told.Files, f, txtar.File{Name: "answer", Data: s.answer(string(f.Data))})
		case "answer":
		default:
			t.Fatalf("there is no section %q", f.Name)
		}
	}
	return txtar.Format(told)
}

// answer sends a request that is written as a method and a path, headers, an empty line, and a body.
func (s *story) answer(request string) []byte {
	s.t.Helper()
	in := textproto.NewReader(bufio.NewReader(strings.NewReader(s.expand(request) + "\n")))
	line, err := in.ReadLine()
	method, path, ok := strings.Cut(line, " ")
	if err != nil || !ok {
		s.t.Fatalf("a request begins with %q (%v)", line, err)
	}
	header, err := in.ReadMIMEHeader()
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(in.R)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(method, "https://api.example.com"+path, bytes.NewReader(body))
	r.Header = http.Header(header)
	w := httptest.NewRecorder()
	if path == "/externalJwt/check" {
		s.api.ServeCheck(w, r)
	} else {
		s.api.ServeHTTP(w, r)
	}
	return []byte(s.written(w))
}

// placeholder stands for a token in a request, always the same one: {session}, {jwt <subject>[@other] [profile]},
// {assertion <subject> <scope>}.
var placeholder = regexp.MustCompile(`\{(session|jwt|assertion)((?: [^ }]+)*)\}`)

func (s *story) expand(request string) string {
	return placeholder.ReplaceAllStringFunc(request, func(found string) string {
		words := strings.Fields(strings.Trim(found, "{}"))
		switch {
		case words[0] == "session":
			return s.session
		case s.tokens[found] != "":
		case words[0] == "assertion":
			s.tokens[found] = s.issuer.Assertion(words[1], words[2], nil)
		default:
			s.tokens[found] = s.jwt(words[1], words[2:])
		}
		return s.tokens[found]
	})
}

func (s *story) jwt(subject string, with []string) string {
	issuer, claims := s.issuer, map[string]any{"aud": gatewaytest.Audience}
	if strings.HasSuffix(subject, "@other") {
		issuer = s.other
	}
	claims["sub"], _, _ = strings.Cut(subject, "@")
	if slices.Contains(with, "profile") {
		claims["email"], claims["email_verified"] = "a@example.com", true
		claims["given_name"], claims["family_name"] = "Alice", "Liddell"
		claims["preferred_username"], claims["phone_number"] = "al", "+1 555 0100"
	}
	return issuer.Token(claims)
}

// written is an answer as the golden files have it: status, headers, an empty line, and the body laid out.
func (s *story) written(w *httptest.ResponseRecorder) string {
	s.t.Helper()
	var out bytes.Buffer
	fmt.Fprintln(&out, w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		for _, value := range w.Header()[name] {
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
	}
	if w.Body.Len() > 0 {
		out.WriteByte('\n')
		if err := json.Indent(&out, w.Body.Bytes(), "", "\t"); err != nil {
			s.t.Fatalf("the body is no JSON: %v\n%s", err, w.Body)
		}
	}
	return s.masked(out.String())
}

// What differs from run to run.
var (
	aToken   = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	aSession = regexp.MustCompile(`"sessionId": "([0-9a-f-]{36}(?:\.[0-9a-f-]{36})?)"`)
	aNonce   = regexp.MustCompile(`"[0-9a-f]{112}"`)
	aKey     = regexp.MustCompile(`"(kid|x|y)": "[\w-]+"`)
	anExpiry = regexp.MustCompile(`"expiresAt": (\d+)`)
	aTime    = regexp.MustCompile(`(\d{4}-\d\d-\d\dT[0-9:.]+Z)`)
	aDate    = regexp.MustCompile(`Expires=([^;]+)`)
)

func (s *story) masked(text string) string {
	text = aToken.ReplaceAllStringFunc(text, func(token string) string {
		use := claimsOf(s.t, token)["token_use"].(string)
		if use == "session" {
			s.session = token
		}
		return "{" + use + "}"
	})
	text = replaceGroup(aSession, text, func(string) string { return "{sid}" })
	text = aNonce.ReplaceAllString(text, `"{nonce}"`)
	text = aKey.ReplaceAllString(text, `"$1": "{$1}"`)
	text = replaceGroup(anExpiry, text, func(seconds string) string {
		n, _ := strconv.ParseInt(seconds, 10, 64)
		return s.since(time.Unix(n, 0))
	})
	text = replaceGroup(aTime, text, func(instant string) string {
		t, err := time.Parse(time.RFC3339, instant)
		if _, parts, _ := strings.Cut(instant, "."); err != nil || len(parts) > len("000Z") {
			s.t.Errorf("%q is no instant to the millisecond (%v)", instant, err)
		}
		return s.since(t)
	})
	return replaceGroup(aDate, text, func(date string) string {
		t, err := http.ParseTime(date)
		if err != nil {
			s.t.Error(err)
		}
		return s.since(t)
	})
}

// since is t by the story's time. What has no parts of a second is compared without.
func (s *story) since(t time.Time) string {
	began := s.began
	if t.Nanosecond() == 0 {
		began = began.Truncate(time.Second)
	}
	return fmt.Sprintf("{+%s}", t.Sub(began))
}

func replaceGroup(re *regexp.Regexp, text string, by func(string) string) string {
	return re.ReplaceAllStringFunc(text, func(found string) string {
		group := re.FindStringSubmatch(found)[1]
		return strings.Replace(found, group, by(group), 1)
	})
}
