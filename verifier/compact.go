package verifier

import (
	"encoding/base64"
	"strings"
)

const (
	defaultMaxBytes = 16 << 10
	maxKidBytes     = 1 << 10
)

// A Token is a compact JWS (RFC 7515 section 7.1) that is well formed. Nobody has
// checked its signature yet: nothing that it says may be believed. It is immutable.
type Token struct {
	signingInput string
	signature    []byte
	payload      []byte
	claims       map[string]any
	algorithm    string
	kid          string
	hasKid       bool
	typ          string
	size         int
}

// Parse reads a compact JWS of at most maxBytes bytes, or 16 KiB if maxBytes is
// not positive, whose payload is a claims set.
//
// It is stricter than the RFCs ask, so that a token has one reading only: exactly
// three parts in canonical base64url, header and payload each one JSON object
// without duplicate members, of valid UTF-8. It refuses `crit`, `b64`, `enc`, `zip`
// and nested tokens. It ignores `jku`, `x5u`, `jwk` and `x5c`: a token does not say
// whom to believe. Its errors are [CodeTokenTooLarge] and [CodeTokenMalformed].
func Parse(token string, maxBytes int) (*Token, error) {
	if maxBytes <= 0 {
		maxBytes = defaultMaxBytes
	}
	if len(token) > maxBytes {
		return nil, refuse(CodeTokenTooLarge, "token has %d bytes, more than the %d allowed", len(token), maxBytes)
	}
	if err := checkShape(token); err != nil {
		return nil, err
	}
	last := strings.LastIndexByte(token, '.')
	header, payload, _ := strings.Cut(token[:last], ".")

	t := &Token{signingInput: token[:last], size: len(token)}
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if err := t.readPayload(payload); err != nil {
		return nil, err
	}
	if err := t.readSignature(token[last+1:]); err != nil {
		return nil, err
	}
	return t, nil
}

// checkShape counts the parts before anything is allocated for them.
func checkShape(token string) error {
	switch dots := strings.Count(token, "."); {
	case dots == 2:
		return nil
	case dots == 4:
		return malformed("token has five parts, as an encrypted one has; only signed tokens are accepted")
	case strings.HasPrefix(token, "{"):
		return malformed("token is in the JSON serialization; only the compact one is accepted")
	default:
		return malformed("token has %d dots instead of two", dots)
	}
}

// decodeSegment refuses every encoding but the canonical one: a token that can be
// spelled in two ways passes for two tokens.
func decodeSegment(name, segment string) ([]byte, error) {
	// Go's decoder skips CR and LF.
	if strings.ContainsAny(segment, "\r\n") {
		return nil, malformed("%s holds a line break", name)
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, malformed("%s is not canonical base64url without padding", name)
	}
	return decoded, nil
}

func decodePart(name, segment string) ([]byte, map[string]any, error) {
	raw, err := decodeSegment(name, segment)
	if err != nil {
		return nil, nil, err
	}
	object, err := decodeObject(raw)
	if err != nil {
		return nil, nil, malformed("%s %w", name, err)
	}
	return raw, object, nil
}

func (t *Token) readSignature(segment string) (err error) {
	t.signature, err = decodeSegment("signature", segment)
	return err
}

func (t *Token) readPayload(segment string) (err error) {
	t.payload, t.claims, err = decodePart("payload", segment)
	return err
}

// readHeader reads what decides how the token is to be understood, and refuses what
// would have it understood in another way.
func (t *Token) readHeader(segment string) error {
	_, header, err := decodePart("header", segment)
	if err != nil {
		return err
	}
	for _, name := range []string{"crit", "b64", "enc", "zip"} {
		if _, ok := header[name]; ok {
			return malformed("header parameter %q is not supported", name)
		}
	}
	alg, ok := header["alg"].(string)
	if !ok {
		return malformed("header has no alg, or one that is not a string")
	}
	t.algorithm = alg
	if t.kid, t.hasKid, err = headerString(header, "kid"); err != nil {
		return err
	}
	if len(t.kid) > maxKidBytes {
		return malformed("kid has more than %d bytes", maxKidBytes)
	}
	typ, _, err := headerString(header, "typ")
	if err != nil {
		return err
	}
	t.typ = normalType(typ)
	cty, _, err := headerString(header, "cty")
	if err != nil {
		return err
	}
	if normalType(cty) == "jwt" {
		return malformed("cty says that a token is nested inside; only a claims set is accepted")
	}
	return nil
}

func headerString(header map[string]any, name string) (value string, ok bool, err error) {
	v, ok := header[name]
	if !ok {
		return "", false, nil
	}
	if value, ok = v.(string); !ok {
		return "", false, malformed("header parameter %q is not a string", name)
	}
	return value, true, nil
}

// normalType brings a media type to the form in which two of them can be compared
// (RFC 7515 section 4.1.9). Only ASCII letters have a case here: Unicode would fold
// the Kelvin sign into a k.
func normalType(typ string) string {
	lower := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, typ)
	if short, ok := strings.CutPrefix(lower, "application/"); ok && !strings.Contains(short, "/") {
		return short
	}
	return lower
}

// Algorithm returns the `alg` of the header. It is a claim of the token's, not yet
// an algorithm that anybody allows.
func (t *Token) Algorithm() string { return t.algorithm }

// Kid returns the `kid` of the header, and whether there is one.
func (t *Token) Kid() (string, bool) { return t.kid, t.hasKid }

// Type returns the `typ` of the header in lower case and without "application/",
// or the empty string.
func (t *Token) Type() string { return t.typ }

// Issuer returns the `iss` of the payload, or the empty string if there is none.
// It is unverified, and good only for choosing who verifies.
func (t *Token) Issuer() string {
	iss, _ := t.claims["iss"].(string)
	return iss
}

// NamesIssuer reports whether the payload has an `iss`, whatever it is.
func (t *Token) NamesIssuer() bool {
	_, named := t.claims["iss"]
	return named
}

// UnverifiedClaims returns what the token says of itself, which anybody may have
// written: good for showing it, and for nothing that depends on it. Errors are those of [ParseClaims].
func (t *Token) UnverifiedClaims() (*Claims, error) {
	return newClaims(t.payload, t.claims)
}

// SigningInput returns what the signature is over (RFC 7515 section 5.2).
func (t *Token) SigningInput() []byte { return []byte(t.signingInput) }

// Signature returns a copy of the decoded signature, which may be empty.
func (t *Token) Signature() []byte { return append([]byte(nil), t.signature...) }
