package caddymodule

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A webSocket is the client's connection of a WebSocket (RFC 6455). When the session ends, the
// client gets a close frame that says why, for a browser tells a page nothing else: not
// even that it was refused, when it comes again. The status is one of those in IANA's registry
// of close codes, 3000 (Unauthorized) or 1013 (Try Again Later); the reason is the stable
// code of the refusal that another request would get, such as "expired".
//
// In the middle of a frame of the upstream there is no place for that, nor where it has said
// goodbye itself: then the connection is closed, as it is for a client that does not answer.
// Over HTTP/2 and HTTP/3 the stream is closed.
type webSocket struct {
	net.Conn
	ended *atomic.Bool // the stream has: nothing passes any more, and only end closes it

	mu     sync.Mutex // guards frames, and that each write is whole
	frames frames
}

// goodbyeTime is how long an end takes at most: for the client to take what it was sent
// before, and to close the connection from its side. Closed at once, it could lose
// the close frame, if it had sent something meanwhile.
const goodbyeTime = time.Second

// The statuses of close frames.
const (
	closeUnauthorized  = 3000
	closeTryAgainLater = 1013
)

// Write passes nothing on once the stream has ended.
func (w *webSocket) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended.Load() {
		return 0, errStreamEnded
	}
	n, err := w.Conn.Write(b)
	w.frames.pass(b[:n])
	return n, err
}

// Read passes nothing on once the stream has ended.
func (w *webSocket) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.ended.Load() {
		return 0, errStreamEnded
	}
	return n, err
}

// CloseWrite says to the client that nothing more comes.
func (w *webSocket) CloseWrite() error {
	if w.ended.Load() {
		return errStreamEnded
	}
	return closeWrite(w.Conn)
}

// Close leaves a stream that has ended to end.
func (w *webSocket) Close() error {
	if w.ended.Load() {
		return nil
	}
	return w.Conn.Close()
}

// end says goodbye, waits a moment for the client to do the same, and closes the connection.
// Whoever writes to a client that does not read stops to.
func (w *webSocket) end(code verifier.Code) {
	defer func() { _ = w.Conn.Close() }()
	_ = w.SetDeadline(time.Now().Add(goodbyeTime))
	if w.sayGoodbye(code) && closeWrite(w.Conn) == nil {
		_, _ = io.Copy(io.Discard, w.Conn)
	}
}

func (w *webSocket) sayGoodbye(code verifier.Code) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.frames.between() {
		return false
	}
	goodbye := closeFrame(code)
	_, err := w.Conn.Write(goodbye)
	w.frames.pass(goodbye)
	return err == nil
}

// closeFrame is one as a server sends it, which does not mask it (RFC 6455 section 5.5.1).
func closeFrame(code verifier.Code) []byte {
	status := uint16(closeUnauthorized)
	if code == gateway.CodeStoreUnavailable {
		status = closeTryAgainLater
	}
	payload := append(binary.BigEndian.AppendUint16(nil, status), code...)
	return append([]byte{finalFrame | closeOpcode, byte(len(payload))}, payload...) //nolint:gosec // a code is short
}

func closeWrite(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// frames follows what one side of a WebSocket sends, to know where a frame ends (RFC 6455
// section 5.2). Its zero value is at the beginning.
type frames struct {
	head   []byte // of the frame that has begun, as long as it is not known how long that is
	rest   uint64 // how much of the payload is still to come
	closed bool   // a close frame was sent: no other may follow
}

const (
	finalFrame  = 0x80
	opcodeBits  = 0x0f
	closeOpcode = 0x08
	maskedFrame = 0x80
	lengthBits  = 0x7f
)

// between says whether a frame may be put here.
func (f *frames) between() bool { return len(f.head) == 0 && f.rest == 0 && !f.closed }

// pass takes note of what is sent.
func (f *frames) pass(b []byte) {
	for len(b) > 0 {
		if f.rest > 0 {
			n := min(f.rest, uint64(len(b)))
			f.rest -= n
			b = b[n:]
			continue
		}
		f.head = append(f.head, b[0])
		b = b[1:]
		if payload, whole := frameLength(f.head); whole {
			f.closed = f.closed || f.head[0]&opcodeBits == closeOpcode
			f.rest = payload
			f.head = f.head[:0]
		}
	}
}

// frameLength is the length of the payload, once the head of a frame is whole.
func frameLength(head []byte) (payload uint64, whole bool) {
	if len(head) < 2 {
		return 0, false
	}
	length, size := uint64(head[1]&lengthBits), 2
	switch length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	extended := head[2:min(size, len(head))]
	if head[1]&maskedFrame != 0 {
		size += 4
	}
	if len(head) < size {
		return 0, false
	}
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(extended))
	case 127:
		length = binary.BigEndian.Uint64(extended)
	}
	return length, true
}
