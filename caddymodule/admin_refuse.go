package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// adminError is err as Caddy writes, logs and counts it.
func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

// adminFailure is the answer to what the gateway could not do. Whoever may call the
// admin API may also know the cause.
func adminFailure(err error) error {
	status := http.StatusInternalServerError
	switch code := gateway.CodeOf(err); {
	case errors.Is(err, gateway.ErrDisabledByConfig):
		status = http.StatusConflict
	case code == gateway.CodeBadRequest:
		status = http.StatusBadRequest
	case code == gateway.CodeStoreUnavailable:
		status = http.StatusServiceUnavailable
	}
	return adminError(status, withCause(err))
}

// withCause adds to a refusal what it keeps from clients.
func withCause(err error) error {
	if refusal := (*gateway.Refusal)(nil); errors.As(err, &refusal) && refusal.Cause != nil {
		return fmt.Errorf("%w: %w", err, refusal.Cause)
	}
	return err
}

// maxAdminBody is the largest request body that is read.
const maxAdminBody = 64 << 10

// wantNoBody refuses parameters that nobody reads: whoever sends some expects
// something else to happen. An empty JSON object is none.
func wantNoBody(r *http.Request) error {
	// No http.MaxBytesReader: beyond its limit the server closes the connection under a
	// client that is still sending, which then often sees a reset instead of the answer.
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxAdminBody+1))
	if err != nil {
		return adminError(http.StatusBadRequest, errors.New("the body could not be read"))
	}
	if len(raw) > maxAdminBody {
		return adminError(http.StatusBadRequest, fmt.Errorf("the body is larger than %d bytes", maxAdminBody))
	}
	if len(raw) == 0 {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" || !bytes.Equal(bytes.TrimSpace(raw), []byte("{}")) {
		return adminError(http.StatusBadRequest, errors.New("this endpoint takes no parameters: leave the body out, or send {} as application/json"))
	}
	return nil
}
