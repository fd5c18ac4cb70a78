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
	// What is left unread here the server reads off by itself, as much as is reasonable.
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return badRequest("the body could not be read")
	}
	if len(raw) > maxBody {
		return badRequest("the body is larger than %d bytes", maxBody)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) || json.Unmarshal(raw, v) != nil {
		return badRequest("the body must be a JSON object whose members have the documented types and come once each")
	}
	return nil
}
