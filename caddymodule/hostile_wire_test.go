package caddymodule_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A wireRequest is one request as it goes out, in whatever protocol: nothing in it is cleaned,
// completed or checked, as a library for clients would.
//
// The target is the second word of the request line, or :path; the authority is Host, or
// :authority, and localhost if it is empty. Lines and trailers go out in their order, repeated ones
// too. Of their names only the letter case is changed, and only by HTTP/2 and HTTP/3, where a name
// with upper case is no request at all (RFC 9113 section 8.2.1, RFC 9114 section 4.2); a
// name that begins with a colon is sent among the pseudo headers there.
//
// Trailers arrive only where a line "Trailer" announces them, as net/http has it, and over HTTP/3
// without their values: Caddy copies a request before quic-go has read them.
type wireRequest struct {
	method, target, authority string
	lines, trailers           [][2]string
	body                      string // at most 32 KiB
}

// A wireAnswer is what came back. The status is 0 where the server took the request for none
// of its protocol, and ended the stream or the connection without an answer.
type wireAnswer struct {
	status int
	header http.Header
	body   string
}

// startWire runs a gateway whose site is reached by HTTP/1.1, HTTP/2 and HTTP/3 on one port.
// Further lines are for the global option `servers`, such as `expected_underscore_headers`.
//
//	g := startWire(t, plainEnvironment, `byoa
//		reverse_proxy {{upstream}}`)
//	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
//		got := send(wireRequest{method: "GET", target: "/%2e", lines: [][2]string{{"X_User_Id", "evil"}}})
//	})
func startWire(t *testing.T, environment, site string, servers ...string) *running {
	t.Helper()
	g := prepareWire(t, servers...)
	g.load(environment, site)
	return g
}

// prepareWire is [startWire] for what has yet to be changed, and loaded.
func prepareWire(t *testing.T, servers ...string) *running {
	t.Helper()
	g := prepareTLS(t)
	g.site += ", https://:" + portOf(g.address) // every Host is served
	if len(servers) > 0 {
		g.options += "\nservers {\n" + strings.Join(servers, "\n") + "\n}\n"
	}
	return g
}

// overEveryProtocol runs the test over HTTP/1.1 (bytes as given, over TLS), HTTP/2 (frames as
// given) and HTTP/3, against the site of [startWire]. Any number of goroutines may send.
func overEveryProtocol(t *testing.T, g *running, test func(t *testing.T, send func(wireRequest) wireAnswer)) {
	t.Helper()
	for _, protocol := range []struct {
		name string
		dial func(g *running) (wireConn, error)
	}{
		{"HTTP/1.1", dialHTTP1},
		{"HTTP/2.0", dialHTTP2},
		{"HTTP/3.0", dialHTTP3},
	} {
		t.Run(protocol.name, func(t *testing.T) {
			pool := &wirePool{g: g, dial: protocol.dial, free: make(chan wireConn, 64)}
			t.Cleanup(pool.close)
			test(t, func(r wireRequest) wireAnswer {
				t.Helper()
				return pool.send(t, r)
			})
		})
	}
}

// wireConn is a connection that carries one request at a time.
type wireConn interface {
	// roundTrip returns [errNoAnswer] where the server ended the stream or the connection instead.
	// The connection can carry another request only where again is true.
	roundTrip(r wireRequest) (answer wireAnswer, again bool, err error)
	Close() error
}

var errNoAnswer = errors.New("the server ended the exchange without an answer")

// wirePool keeps the connections that nobody uses.
type wirePool struct {
	g    *running
	dial func(g *running) (wireConn, error)
	free chan wireConn
}

func (p *wirePool) send(t *testing.T, r wireRequest) wireAnswer {
	t.Helper()
	conn, err := p.take()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range r.lines {
		p.g.kept.Learn("a request's "+line[0], line[1])
	}
	answer, again, err := conn.roundTrip(r)
	p.g.said(r.method+" "+r.target, answer.status, answer.header, answer.body)
	if again && len(p.free) < cap(p.free) {
		p.free <- conn
	} else {
		_ = conn.Close()
	}
	if err != nil && !errors.Is(err, errNoAnswer) {
		t.Fatalf("%s %s: %v", r.method, r.target, err)
	}
	if answer.status >= 400 {
		for _, token := range p.g.secrets {
			if segment := shownSegment(answer.body, token); segment != "" {
				t.Errorf("%s %s: the error body shows a part of a token", r.method, r.target)
			}
		}
	}
	return answer
}

// take is a free connection, or a new one.
func (p *wirePool) take() (wireConn, error) {
	select {
	case conn := <-p.free:
		return conn, nil
	default:
		return p.dial(p.g)
	}
}

func (p *wirePool) close() {
	for {
		select {
		case conn := <-p.free:
			_ = conn.Close()
		default:
			return
		}
	}
}

// wireTLS trusts whatever certificate the site has.
func wireTLS(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{protocol}}
}

// dialTLS refuses a connection that speaks another protocol.
func dialTLS(g *running, protocol string) (*tls.Conn, error) {
	dialer := &net.Dialer{Timeout: time.Minute}
	conn, err := tls.DialWithDialer(dialer, "tcp", g.address, wireTLS(protocol))
	if err != nil {
		return nil, err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
		_ = conn.Close()
		return nil, fmt.Errorf("the site speaks %q, not %q", got, protocol)
	}
	return conn, nil
}

// http1Conn speaks HTTP/1.1 in bytes, for one request.
type http1Conn struct{ net.Conn }

func (c http1Conn) roundTrip(r wireRequest) (wireAnswer, bool, error) {
	answer, _, err := keptHTTP1{c.Conn, bufio.NewReader(c.Conn)}.roundTrip(r)
	return answer, false, err
}

// keptHTTP1 is the same for one request after the other.
type keptHTTP1 struct {
	net.Conn
	from *bufio.Reader
}

func dialHTTP1(g *running) (wireConn, error) {
	conn, err := dialTLS(g, "http/1.1")
	if err != nil {
		return nil, err
	}
	return keptHTTP1{conn, bufio.NewReader(conn)}, nil
}

func (c keptHTTP1) roundTrip(r wireRequest) (wireAnswer, bool, error) {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return wireAnswer{}, false, err
	}
	bytes, written := r.http1(), make(chan error, 1)
	go func() { // the server may answer, and close, before it has read all
		_, err := io.WriteString(c, bytes)
		written <- err
	}()
	answer, last, err := readLast(c.from, r.method)
	if err != nil {
		_ = c.Close()
	}
	if sent := <-written; sent == nil && errors.Is(err, io.ErrUnexpectedEOF) {
		err = errNoAnswer
	}
	return answer, err == nil && !last && isOneLineEach(r, bytes), err
}

// isOneLineEach says whether the bytes are a request line and the lines of r, and nothing more: of
// anything else who knows what it made of the connection.
func isOneLineEach(r wireRequest, bytes string) bool {
	return r.body == "" && len(r.trailers) == 0 && strings.Count(bytes, "\n") == len(r.lines)+3 &&
		!slices.ContainsFunc(r.lines, func(line [2]string) bool { return framing.MatchString(line[0]) })
}

var framing = regexp.MustCompile(`(?i)^(connection|upgrade|expect|te|trailer|transfer-encoding|content-length)$`)

// readHTTP1 reads an answer to a request of this method.
func readHTTP1(from *bufio.Reader, method string) (wireAnswer, error) {
	answer, _, err := readLast(from, method)
	return answer, err
}

// readLast is [readHTTP1], and says whether the server means the answer to be the last one.
func readLast(from *bufio.Reader, method string) (answer wireAnswer, last bool, err error) {
	for {
		res, err := http.ReadResponse(from, &http.Request{Method: method})
		if err != nil {
			return wireAnswer{}, true, err
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		answer := wireAnswer{status: res.StatusCode, header: res.Header}
		if res.StatusCode >= 200 {
			body, err := io.ReadAll(res.Body)
			if answer.body = string(body); err != nil {
				return wireAnswer{}, true, err
			}
		}
		return answer, res.Close || res.StatusCode < 200, res.Body.Close()
	}
}

// http1 is the request in bytes. What frames the body is added where no line does it.
func (r wireRequest) http1() string {
	var b strings.Builder
	b.WriteString(r.method + " " + r.target + " HTTP/1.1\r\nHost: " + cmp.Or(r.authority, "localhost") + "\r\n")
	framed := false
	for _, line := range r.lines {
		b.WriteString(line[0] + ": " + line[1] + "\r\n")
		framed = framed || strings.EqualFold(line[0], "Content-Length") || strings.EqualFold(line[0], "Transfer-Encoding")
	}
	switch {
	case len(r.trailers) > 0:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		if r.body != "" {
			b.WriteString(strconv.FormatInt(int64(len(r.body)), 16) + "\r\n" + r.body + "\r\n")
		}
		b.WriteString("0\r\n")
		for _, line := range r.trailers {
			b.WriteString(line[0] + ": " + line[1] + "\r\n")
		}
		b.WriteString("\r\n")
	case r.body != "" && !framed:
		b.WriteString("Content-Length: " + strconv.Itoa(len(r.body)) + "\r\n\r\n" + r.body)
	default:
		b.WriteString("\r\n" + r.body)
	}
	return b.String()
}
