package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestLogEncoderCaddyfile(t *testing.T) {
	for _, c := range []struct{ name, text, want, err string }{
		{name: "alone", text: "byoa", want: `{}`},
		{name: "wrap", text: "byoa {\n wrap console\n}", want: `{"wrap":{"format":"console"}}`},
		{name: "wrap with a block", text: "byoa {\n wrap json {\n time_format iso8601\n }\n}", want: `{"wrap":{"format":"json","time_format":"iso8601"}}`},
		{name: "argument", text: "byoa console", err: "wrong argument count"},
		{name: "unknown line", text: "byoa {\n warp console\n}", err: "warp"},
		{name: "wrap without a name", text: "byoa {\n wrap\n}", err: "wrong argument count"},
		{name: "two wraps", text: "byoa {\n wrap json\n wrap console\n}", err: "more than once"},
		{name: "wrap of an unknown encoder", text: "byoa {\n wrap nothing\n}", err: "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e LogEncoder
			err := e.UnmarshalCaddyfile(caddyfile.NewTestDispenser(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want one about %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(&e)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What is no log encoder must refuse the config: a log without an encoder shows everything.
func TestLogEncoderRefusesOtherModules(t *testing.T) {
	config := `{"admin":{"disabled":true},"logging":{"logs":{"default":{"encoder":{"format":"byoa","wrap":{"format":"%s"}}}}}}`
	if err := caddy.Validate(parsedConfig(t, fmt.Sprintf(config, "none"))); err == nil {
		t.Error("an unknown encoder was accepted")
	}
	if err := caddy.Validate(parsedConfig(t, fmt.Sprintf(config, "console"))); err != nil {
		t.Errorf("console was refused: %v", err)
	}
}

func parsedConfig(t *testing.T, config string) *caddy.Config {
	t.Helper()
	parsed := new(caddy.Config)
	if err := json.Unmarshal([]byte(config), parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// provisionedEncoder is an encoder as a log has it.
func provisionedEncoder(t testing.TB) *LogEncoder {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	e := new(LogEncoder)
	if err := e.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

// nested is an object that holds what others log of a request, at any depth.
type nested struct{ add func(zapcore.ObjectEncoder) }

func (n nested) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	n.add(enc)
	return nil
}

type nestedList []zapcore.ObjectMarshaler

func (l nestedList) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, o := range l {
		if err := enc.AppendObject(o); err != nil {
			return err
		}
	}
	return nil
}

// listOf is a list of which each element is added in another way.
type listOf []string

func (l listOf) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, s := range l {
		enc.AppendString(s)
		enc.AppendByteString([]byte(s))
		if err := enc.AppendReflected(map[string]string{"uri": s}); err != nil {
			return err
		}
	}
	return enc.AppendArray(caddyhttp.LoggableStringArray(l))
}

// formattedError is an error of the kind that github.com/pkg/errors makes.
type formattedError string

func (e formattedError) Error() string { return string(e) }

func (e formattedError) Format(s fmt.State, _ rune) { fmt.Fprint(s, "in detail: ", string(e)) }

// Every way in which a field can come to an encoder, with the line that has to come out.
func TestLogEncoderFields(t *testing.T) {
	hideFromLogs(hidden{headers: []string{"X-Session"}, cookies: []string{"session_jwt"}, query: []string{"access_token"}})
	const uri = "/ws?access_token=TOKEN&a=1"
	header := http.Header{
		"X-Session": {"TOKEN"}, "x_step.up-ASSERTION": {"TOKEN", "TOKEN"}, "X-Mfa_auth.Token": {"TOKEN"},
		"Cookie": {"session_jwt=TOKEN", "a=1; session_jwt=TOKEN"}, "Referer": {uri},
	}
	request := &http.Request{Method: "GET", Header: header, RequestURI: uri, RemoteAddr: "192.0.2.1:9", Host: "a.example", Proto: "HTTP/1.1"}
	logged := caddyhttp.LoggableHTTPHeader{Header: header, ShouldLogCredentials: true}
	const headerJSON = `{"Cookie":["a=1"],"Referer":["/ws?a=1"]}`
	const requestJSON = `{"remote_ip":"192.0.2.1","remote_port":"9","proto":"HTTP/1.1","method":"GET","host":"a.example","uri":"/ws?a=1","headers":`
	inside := nested{func(enc zapcore.ObjectEncoder) {
		_ = enc.AddObject("headers", logged)
		_ = enc.AddArray("X-Session", caddyhttp.LoggableStringArray{"TOKEN"})
		enc.AddByteString("uri", []byte(uri))
	}}
	const insideJSON = `{"headers":` + headerJSON + `,"uri":"/ws?a=1"}`

	for _, c := range []struct {
		name  string
		field zap.Field
		want  string
	}{
		{"request", zap.Object("f", caddyhttp.LoggableHTTPRequest{Request: request, ShouldLogCredentials: true}), `{"f":` + requestJSON + headerJSON + `}}`},
		{"headers", zap.Object("f", logged), `{"f":` + headerJSON + `}`},
		{"object in an object", zap.Object("f", nested{func(enc zapcore.ObjectEncoder) { _ = enc.AddObject("g", inside) }}), `{"f":{"g":` + insideJSON + `}}`},
		{"object in an array", zap.Array("f", nestedList{inside, inside}), `{"f":[` + insideJSON + `,` + insideJSON + `]}`},
		{"objects", zap.Objects("f", []nested{inside}), `{"f":[` + insideJSON + `]}`},
		{"inline", zap.Inline(inside), insideJSON},
		{"dict", zap.Dict("f", zap.Any("X-Session", "TOKEN"), zap.String("uri", uri)), `{"f":{"uri":"/ws?a=1"}}`},
		{"string", zap.String("uri", uri), `{"uri":"/ws?a=1"}`},
		{"string of a header's name", zap.String("X-Session", "TOKEN"), `{}`},
		{"CGI environment", zap.Object("env", nested{func(enc zapcore.ObjectEncoder) {
			enc.AddString("HTTP_X_SESSION", "TOKEN")
			enc.AddString("HTTP_COOKIE", "session_jwt=TOKEN, a=1")
			enc.AddString("QUERY_STRING", "access_token=TOKEN&a=1")
		}}), `{"env":{"HTTP_COOKIE":"a=1","QUERY_STRING":"a=1"}}`},
		{"strings", zap.Strings("f", []string{uri, "b"}), `{"f":["/ws?a=1","b"]}`},
		{"strings of a header's name", zap.Strings("X-Session", []string{"TOKEN"}), `{}`},
		{"elements of an array", zap.Array("f", listOf{uri}), `{"f":["/ws?a=1","/ws?a=1",{"uri":"/ws?a=1"},["/ws?a=1"]]}`},
		{"byte string", zap.ByteString("uri", []byte(uri)), `{"uri":"/ws?a=1"}`},
		{"binary", zap.Binary("f", []byte("a")), `{"f":"YQ=="}`},
		{"binary of a header's name", zap.Binary("X-Session", []byte("TOKEN")), `{}`},
		{"object of a header's name", zap.Object("X-Session", inside), `{}`},
		{"error that zap shows in parts", zap.Error(formattedError(uri)), `{"error":"/ws?a=1","errorVerbose":"in detail: /ws?a=1"}`},
		{"error that panics", zap.Error((*url.Error)(nil)), `{"error":"<nil>"}`},
		{"stringer", zap.Stringer("uri", &url.URL{Path: "/ws", RawQuery: "access_token=TOKEN&a=1"}), `{"uri":"/ws?a=1"}`},
		{"error", zap.Error(errors.New(`Get "http://up/ws?access_token=TOKEN": refused`)), `{"error":"Get \"http://up/ws\": refused"}`},
		{"errors", zap.Errors("f", []error{errors.New(uri)}), `{"f":[{"error":"/ws?a=1"}]}`},
		{"reflected header", zap.Any("f", header), `{"f":` + headerJSON + `}`},
		{"reflected header by its own name", zap.Reflect("Cookie", []string{"session_jwt=TOKEN", "a=1"}), `{"Cookie":["a=1"]}`},
		{"reflected request", zap.Any("f", request), `{"f":` + requestJSON + `{"Cookie":["REDACTED"],"Referer":["/ws?a=1"]}}}`},
		{"reflected struct", zap.Any("f", struct {
			B    int64
			In   map[string]any
			URIs []string
		}{1 << 60, map[string]any{"x-session": "TOKEN", "h": header}, []string{uri}}), `{"f":{"B":1152921504606846976,"In":{"h":` + headerJSON + `},"URIs":["/ws?a=1"]}}`},
		{"reflected without tokens", zap.Any("f", struct{ B, A int }{1, 2}), `{"f":{"B":1,"A":2}}`},
		{"reflected nil", zap.Reflect("f", nil), `{"f":null}`},
		{"nil request", zap.Reflect("f", (*http.Request)(nil)), `{"f":null}`},
		{"Set-Cookie", zap.Any("Set-Cookie", []string{"session_jwt=TOKEN; Path=/", "a=1; Path=/"}), `{"Set-Cookie":["a=1; Path=/"]}`},
		{"number", zap.Int("f", 1), `{"f":1}`},
	} {
		for way, encode := range map[string]func(zapcore.Encoder) (string, error){
			"field of a line": func(e zapcore.Encoder) (string, error) { return encodeLine(e, c.field) },
			"field of With":   func(e zapcore.Encoder) (string, error) { c.field.AddTo(e); return encodeLine(e) },
			"namespace": func(e zapcore.Encoder) (string, error) {
				e.OpenNamespace("ns")
				line, err := encodeLine(e, c.field)
				return strings.TrimSuffix(strings.TrimPrefix(line, `{"ns":`), "}"), err
			},
		} {
			t.Run(c.name+", "+way, func(t *testing.T) {
				got, err := encode(provisionedEncoder(t).Clone())
				if err != nil {
					t.Fatal(err)
				}
				if !sameJSON(t, got, c.want) {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// encodeLine is the JSON of a line's fields, without time, level and message.
func encodeLine(e zapcore.Encoder, fields ...zap.Field) (string, error) {
	buf, err := e.EncodeEntry(zapcore.Entry{}, fields)
	if err != nil {
		return "", err
	}
	defer buf.Free()
	_, rest, _ := strings.Cut(strings.TrimSpace(buf.String()), `"msg":""`)
	return "{" + strings.TrimPrefix(rest, ","), nil
}

// sameJSON compares without regard to the order of members: headers come from maps.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	return canonicalJSON(t, a) == canonicalJSON(t, b)
}

func canonicalJSON(t *testing.T, text string) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	sorted, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

// Other logs get the same fields: one with the encoder must not change what they see.
func TestLogEncoderLeavesFieldsToOthers(t *testing.T) {
	fields := []zap.Field{zap.String("X-Step-Up-Assertion", "TOKEN")}
	if _, err := provisionedEncoder(t).EncodeEntry(zapcore.Entry{}, fields); err != nil {
		t.Fatal(err)
	}
	if !fields[0].Equals(zap.String("X-Step-Up-Assertion", "TOKEN")) {
		t.Errorf("the caller's field became %v", fields[0])
	}
}

// A value that cannot be looked into must not pass unseen to an encoder that could show it.
func TestLogEncoderReportsWhatItCannotRead(t *testing.T) {
	got, err := encodeLine(provisionedEncoder(t), zap.Reflect("f", struct{ F func() }{}))
	if err != nil {
		t.Fatal(err)
	}
	if want := "unsupported type"; !strings.Contains(got, `"fError"`) || !strings.Contains(got, want) {
		t.Errorf("got %s, want fError with %q", got, want)
	}
}

func TestLogEncoderMessage(t *testing.T) {
	hideFromLogs(hidden{query: []string{"access_token"}})
	buf, err := provisionedEncoder(t).EncodeEntry(zapcore.Entry{Message: `Get "http://up/?access_token=TOKEN&a=1"`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := buf.String(), `Get \"http://up/?a=1\"`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
}

// A reload tells new names while requests are logged.
func TestHideFromLogsWhileLogging(t *testing.T) {
	e := provisionedEncoder(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			name := fmt.Sprintf("X-Concurrent-%d", i)
			hideFromLogs(hidden{headers: []string{name}, cookies: []string{name}, query: []string{name}})
			field := zap.Object("headers", caddyhttp.LoggableHTTPHeader{Header: http.Header{name: {"TOKEN"}}})
			if got, err := encodeLine(e, field); err != nil || strings.Contains(got, "TOKEN") {
				t.Errorf("got %s (%v) after the name was told", got, err)
			}
		})
	}
	group.Wait()
	for i := range 8 {
		if hiddenInLogs.Load().ruleFor(fmt.Sprintf("x-concurrent-%d", i)) != ruleDelete {
			t.Errorf("name %d was lost to another that was told at the same time", i)
		}
	}
}

// BenchmarkLogEncoder compares lines in the wrapped format with the same in ours.
func BenchmarkLogEncoder(b *testing.B) {
	hideFromLogs(hidden{headers: []string{"Authorization"}, cookies: []string{"session_jwt"}, query: []string{"access_token"}})
	ours := provisionedEncoder(b)
	request := &http.Request{Method: "GET", RequestURI: "/a?b=1", RemoteAddr: "192.0.2.1:9", Header: http.Header{
		"Accept": {"*/*"}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64)"}, "Accept-Language": {"en"}, "Cookie": {"a=1"}, "Referer": {"https://a.example/"},
	}}
	for name, fields := range map[string][]zap.Field{
		"plain":   {zap.String("user_id", "u-1"), zap.String("address", "127.0.0.1:80"), zap.Int("size", 5), zap.Bool("ok", true), zap.Error(errors.New("dial tcp: refused"))},
		"request": {zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: request})},
	} {
		for format, enc := range map[string]zapcore.Encoder{"json": ours.wrapped, "byoa": ours} {
			b.Run(name+"/"+format, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					buf, err := enc.EncodeEntry(zapcore.Entry{Message: "handled request"}, fields)
					if err != nil {
						b.Fatal(err)
					}
					buf.Free()
				}
			})
		}
	}
}

// A cookie of an environment that nobody hides is in the log of every request of a browser, for
// whoever reads logs to sign in with. The SDKs' own is there whatever the config names.
func TestCookiesOfAnEnvironmentAreHidden(t *testing.T) {
	for name, c := range map[string]struct {
		environment Environment
		kept        string
	}{
		"none is named":    {Environment{}, "ext=1; own=2; other=4"},
		"the external one": {Environment{CookieName: "ext"}, "own=2; other=4"},
		"the session's":    {Environment{Session: SessionRules{Cookie: "own"}}, "ext=1; other=4"},
		"both":             {Environment{CookieName: "ext", Session: SessionRules{Cookie: "own"}}, "other=4"},
	} {
		names := newHiddenNames().with(c.environment.hidden())
		if got, _ := names.text(ruleCookie, "ext=1; own=2; DYNAMIC_JWT_TOKEN=3; other=4"); got != c.kept {
			t.Errorf("%s: the log shows %q, want %q", name, got, c.kept)
		}
	}
}
