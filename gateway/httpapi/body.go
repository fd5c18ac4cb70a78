package httpapi

import (
	"bytes"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
)

// maxBody is the largest request body that is read.
const maxBody = 64 << 10

// readBody decodes the JSON object that r brings into v. An object that two readers could
// understand differently is refused: one with a member that comes twice, at any depth and in
// any spelling, or with text that is no UTF-8 (RFC 8259, sections 4 and 8.1). Names are told
// apart by letter case. Members that v does not have are the SDKs' business and are passed over.
func readBody(r *http.Request, v any) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return badRequest("the body must be application/json")
	}
	// No http.MaxBytesReader: beyond its limit the server closes the connection under a
	// client that is still sending, which then often sees a reset instead of the answer.
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return badRequest("the body could not be read")
	}
	if len(raw) > maxBody {
		readOff(r, len(raw))
		return badRequest("the body is larger than %d bytes", maxBody)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) || json.Unmarshal(raw, v) != nil {
		return badRequest("the body must be a JSON object whose members have the documented types and come once each")
	}
	return nil
}

// maxReadOff is how much is read off of a body that is too large, which is as much as
// net/http reads off by itself. A client that sends more may see a reset instead of the answer.
const maxReadOff = 256 << 10

// readOff reads what is left of a body of which so much was read, so that the client has
// sent it when the connection is closed, and sees the answer. Where the connection stays
// open, the server does so.
func readOff(r *http.Request, read int) {
	if r.Close && r.ContentLength-int64(read) < maxReadOff {
		_, _ = io.CopyN(io.Discard, r.Body, maxReadOff) // it is refused already
	}
}
