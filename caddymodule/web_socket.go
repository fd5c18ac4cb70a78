package caddymodule

import (
	"encoding/binary"
	"errors"
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

	mu   sync.Mutex // guards sent, and that each write is whole
	sent frames

	reading  sync.Mutex // guards received, and that it has each read in its turn
	received frames
}

// newWebSocket goes on where the handshake has ended, and the client has perhaps sent
// something already.
func newWebSocket(conn net.Conn, early []byte, ended *atomic.Bool) *webSocket {
	w := &webSocket{Conn: conn, ended: ended}
	w.received.pass(early)
	return w
}

// goodbyeTime is how long an end takes at most: for the client to take what it was sent
// before, and to say goodbye as well. Where the connection is closed before that, a browser
// tells the page that it was lost, and a client that has sent something meanwhile may
// never get to read the close frame.
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
	w.sent.pass(b[:n])
	return n, err
}

// Read passes nothing on once the stream has ended.
func (w *webSocket) Read(b []byte) (int, error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	n, err := w.receive(b)
	if w.ended.Load() {
		return 0, errStreamEnded
	}
	return n, err
}

// receive needs reading.
func (w *webSocket) receive(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.received.pass(b[:n])
	return n, err
}

// CloseWrite says to the client that nothing more comes.
func (w *webSocket) CloseWrite() error {
	if w.ended.Load() {
		return errStreamEnded
	}
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
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
	if w.sayGoodbye(code) {
		w.awaitGoodbye()
	}
}

// awaitGoodbye reads and drops what the client sends up to its close frame.
func (w *webSocket) awaitGoodbye() {
	w.reading.Lock() // whoever reads already has what comes first
	defer w.reading.Unlock()
	dropped := make([]byte, 4<<10)
	for !w.received.over() {
		if _, err := w.receive(dropped); err != nil {
			return
		}
	}
}

func (w *webSocket) sayGoodbye(code verifier.Code) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.sent.between() {
		return false
	}
	goodbye := closeFrame(code)
	_, err := w.Conn.Write(goodbye)
	w.sent.pass(goodbye)
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

// frames follows what one side of a WebSocket sends, to know where a frame ends (RFC 6455
// section 5.2). Its zero value is at the beginning.
type frames struct {
	head   []byte // of the frame that has begun, as long as it is not known how long that is
	rest   uint64 // how much of the payload is still to come
	closed bool   // a close frame has begun: no other may follow
}

const (
	finalFrame  = 0x80
	opcodeBits  = 0x0f
	closeOpcode = 0x08
	maskedFrame = 0x80
	lengthBits  = 0x7f
)

// between says whether a frame may be put here.
func (f *frames) between() bool { return f.whole() && !f.closed }

// over says whether a close frame was sent, to its end.
func (f *frames) over() bool { return f.whole() && f.closed }

func (f *frames) whole() bool { return len(f.head) == 0 && f.rest == 0 }

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
