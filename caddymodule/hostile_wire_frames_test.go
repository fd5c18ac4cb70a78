package caddymodule_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// fields are the header section of HTTP/2 and HTTP/3: pseudo headers first, and names in lower case.
func (r wireRequest) fields() [][2]string {
	pseudo := [][2]string{{":method", r.method}}
	if r.method != http.MethodConnect || r.target != "" {
		pseudo = append(pseudo, [2]string{":scheme", "https"}, [2]string{":path", r.target})
	}
	pseudo = append(pseudo, [2]string{":authority", cmp.Or(r.authority, "localhost")})
	var regular [][2]string
	for _, line := range r.lines {
		if strings.HasPrefix(line[0], ":") {
			pseudo = append(pseudo, line)
		} else {
			regular = append(regular, lowerCase(line))
		}
	}
	return append(pseudo, regular...)
}

func (r wireRequest) trailerFields() [][2]string {
	fields := make([][2]string, len(r.trailers))
	for i, line := range r.trailers {
		fields[i] = lowerCase(line)
	}
	return fields
}

func lowerCase(line [2]string) [2]string { return [2]string{strings.ToLower(line[0]), line[1]} }

// add puts a field of an answer where it belongs.
func (a *wireAnswer) add(name, value string) error {
	if name != ":status" {
		a.header.Add(name, value)
		return nil
	}
	var err error
	a.status, err = strconv.Atoi(value)
	a.header = http.Header{}
	return err
}

// http2Conn speaks HTTP/2 in frames.
type http2Conn struct {
	*tls.Conn
	framer *http2.Framer
	block  bytes.Buffer
	encode *hpack.Encoder
	stream uint32 // of the next request
}

func dialHTTP2(g *running) (wireConn, error) {
	conn, err := dialTLS(g, "h2")
	if err != nil {
		return nil, err
	}
	c := &http2Conn{Conn: conn, framer: http2.NewFramer(conn, conn), stream: 1}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encode = hpack.NewEncoder(&c.block)
	_, err = io.WriteString(conn, http2.ClientPreface)
	return c, errors.Join(err, c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}))
}

func (c *http2Conn) roundTrip(r wireRequest) (wireAnswer, bool, error) {
	stream := c.stream
	c.stream += 2
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return wireAnswer{}, false, err
	}
	err := c.writeFields(stream, r.fields(), r.body == "" && len(r.trailers) == 0)
	for rest := r.body; rest != "" && err == nil; {
		n := min(len(rest), 16<<10)
		err = c.framer.WriteData(stream, n == len(rest) && len(r.trailers) == 0, []byte(rest[:n]))
		rest = rest[n:]
	}
	if err == nil && len(r.trailers) > 0 {
		err = c.writeFields(stream, r.trailerFields(), true)
	}
	answer, read := c.readAnswer(stream)
	if read == nil {
		// A body may have been left unread, and what it took of the window be lost.
		return answer, err == nil && r.body == "", nil
	}
	return wireAnswer{}, false, read
}

// writeFields sends a header section, in as many frames as it needs.
func (c *http2Conn) writeFields(stream uint32, fields [][2]string, end bool) error {
	c.block.Reset()
	for _, f := range fields {
		if err := c.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	chunk := c.block.Next(16 << 10)
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: chunk, EndStream: end, EndHeaders: c.block.Len() == 0,
	})
	for err == nil && c.block.Len() > 0 {
		chunk = c.block.Next(16 << 10)
		err = c.framer.WriteContinuation(stream, c.block.Len() == 0, chunk)
	}
	return err
}

func (c *http2Conn) readAnswer(stream uint32) (wireAnswer, error) {
	var answer wireAnswer
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return answer, noAnswer(err)
		}
		if _, ended := frame.(*http2.GoAwayFrame); ended {
			return answer, errNoAnswer
		}
		if err := c.acknowledge(frame); err != nil {
			return answer, noAnswer(err)
		}
		if frame.Header().StreamID != stream {
			continue
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame:
			return answer, errNoAnswer
		case *http2.MetaHeadersFrame:
			for _, f := range frame.Fields {
				if err := answer.add(f.Name, f.Value); err != nil {
					return answer, err
				}
			}
		case *http2.DataFrame:
			answer.body += string(frame.Data())
		}
		if frame.Header().Flags.Has(http2.FlagDataEndStream) && frame.Header().Type <= http2.FrameHeaders {
			return answer, nil
		}
	}
}

// acknowledge answers what a connection has to.
func (c *http2Conn) acknowledge(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.DataFrame:
		if n := frame.Length; n > 0 {
			return errors.Join(c.framer.WriteWindowUpdate(0, n), c.framer.WriteWindowUpdate(frame.StreamID, n))
		}
	}
	return nil
}

// noAnswer tells an exchange that the other side ended from one that took too long.
func noAnswer(err error) error {
	if timeout := (interface{ Timeout() bool })(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return errNoAnswer
}

// Frames and streams of HTTP/3 (RFC 9114 sections 6.2 and 7.2).
const (
	http3Data     = 0x00
	http3Headers  = 0x01
	http3Settings = 0x04
	http3Control  = 0x00
)

// http3Conn speaks HTTP/3 in frames.
type http3Conn struct{ *quic.Conn }

// patientQUIC leaves a slow machine time: by itself QUIC gives up after seconds without a word.
func patientQUIC() *quic.Config {
	return &quic.Config{HandshakeIdleTimeout: time.Minute, MaxIdleTimeout: time.Minute, KeepAlivePeriod: 5 * time.Second}
}

func dialHTTP3(g *running) (wireConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := quic.DialAddr(ctx, g.address, wireTLS("h3"), patientQUIC())
	if err != nil {
		return nil, err
	}
	control, err := conn.OpenUniStream()
	if err == nil {
		_, err = control.Write([]byte{http3Control, http3Settings, 0})
	}
	return http3Conn{conn}, err
}

func (c http3Conn) Close() error { return c.CloseWithError(0, "") }

func (c http3Conn) roundTrip(r wireRequest) (wireAnswer, bool, error) {
	stream, err := c.OpenStream()
	if err != nil {
		return wireAnswer{}, false, err
	}
	deadline := time.Now().Add(time.Minute)
	var b []byte
	if b, err = appendFields(b, r.fields()); err != nil {
		return wireAnswer{}, false, err
	}
	if r.body != "" {
		b = appendFrame(b, http3Data, []byte(r.body))
	}
	if len(r.trailers) > 0 {
		if b, err = appendFields(b, r.trailerFields()); err != nil {
			return wireAnswer{}, false, err
		}
	}
	if err := stream.SetDeadline(deadline); err != nil {
		return wireAnswer{}, false, err
	}
	_, sent := stream.Write(b) // the server may answer before it has read all
	sent = errors.Join(sent, stream.Close())
	answer, err := readHTTP3(stream)
	if err != nil {
		return wireAnswer{}, false, noAnswer(err)
	}
	return answer, sent == nil, nil
}

func appendFields(b []byte, fields [][2]string) ([]byte, error) {
	var block bytes.Buffer
	encode := qpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encode.WriteField(qpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return nil, err
		}
	}
	return appendFrame(b, http3Headers, block.Bytes()), nil
}

func appendFrame(b []byte, kind uint64, payload []byte) []byte {
	b = quicvarint.Append(b, kind)
	b = quicvarint.Append(b, uint64(len(payload)))
	return append(b, payload...)
}

// readHTTP3 reads frames to the end of the stream.
func readHTTP3(stream io.Reader) (wireAnswer, error) {
	var answer wireAnswer
	from := quicvarint.NewReader(stream)
	for {
		kind, err := quicvarint.Read(from)
		if errors.Is(err, io.EOF) && answer.status >= 200 {
			return answer, nil
		}
		if err != nil {
			return answer, err
		}
		length, err := quicvarint.Read(from)
		if err != nil {
			return answer, err
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(from, payload); err != nil {
			return answer, err
		}
		switch kind {
		case http3Data:
			answer.body += string(payload)
		case http3Headers:
			if err := answer.addAll(payload); err != nil {
				return answer, err
			}
		}
	}
}

func (a *wireAnswer) addAll(block []byte) error {
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = a.add(f.Name, f.Value)
		}
		if err != nil {
			return err
		}
	}
}
