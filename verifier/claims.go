package verifier

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims is the claims set of a token (RFC 7519 section 4) that was verified, or,
// from [ParseClaims], only decoded. Claims are shared between requests: they must
// not be changed, and may then be read concurrently.
type Claims struct {
	Issuer  string // iss
	Subject string // sub
	ID      string // jti
	Type    string // typ of the header: lower case, without "application/"

	Audience []string // aud, one string or several

	// IssuedAt, NotBefore and Expiry are iat, nbf and exp; zero if absent.
	IssuedAt, NotBefore, Expiry time.Time

	// Key is the key that verified the token; empty from [ParseClaims].
	Key KeyID

	payload []byte
	members map[string]any
}

// ParseClaims decodes a claims set strictly, as [Parse] does for the payload of a
// token, and verifies nothing: it is for claims that arrive inside a token which
// was verified elsewhere. Registered claims may be missing, but must have their
// RFC 7519 types.
func ParseClaims(payload []byte) (*Claims, error) {
	members, err := decodeObject(payload)
	if err != nil {
		return nil, malformed("claims set %w", err)
	}
	return newClaims(slices.Clone(payload), members)
}

func newClaims(payload []byte, members map[string]any) (*Claims, error) {
	c := &Claims{payload: payload, members: members}
	var errs [7]error
	c.Issuer, errs[0] = stringClaim(members, "iss")
	c.Subject, errs[1] = stringClaim(members, "sub")
	c.ID, errs[2] = stringClaim(members, "jti")
	c.Audience, errs[3] = audienceClaim(members)
	c.IssuedAt, errs[4] = dateClaim(members, "iat")
	c.NotBefore, errs[5] = dateClaim(members, "nbf")
	c.Expiry, errs[6] = dateClaim(members, "exp")
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// stringClaim returns the empty string for an absent claim. One of another type is
// refused, null too: to read it as absent would let a token say less than it does.
func stringClaim(members map[string]any, name string) (string, error) {
	v, ok := members[name]
	if !ok {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", malformed("%s is not a string", name)
	}
	return s, nil
}

// audienceClaim returns nil for an absent claim. Every element has to be a string, also
// where one that is would do: an audience that is half understood is not understood.
func audienceClaim(members map[string]any) ([]string, error) {
	switch v := members["aud"].(type) {
	case string:
		return []string{v}, nil
	case []any:
		audience := make([]string, len(v))
		for i := range v {
			s, ok := v[i].(string)
			if !ok {
				return nil, malformed("aud holds something that is not a string")
			}
			audience[i] = s
		}
		return audience, nil
	}
	if _, ok := members["aud"]; ok {
		return nil, malformed("aud is neither a string nor an array of strings")
	}
	return nil, nil
}

// dateClaim returns the zero time for an absent NumericDate (RFC 7519 section 2).
func dateClaim(members map[string]any, name string) (time.Time, error) {
	v, ok := members[name]
	if !ok {
		return time.Time{}, nil
	}
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, malformed("%s is not a number", name)
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil && -maxDate <= i && i <= maxDate {
		return time.Unix(i, 0), nil
	} else if err == nil {
		return time.Time{}, malformed("%s is out of range", name)
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) > maxDate {
		return time.Time{}, malformed("%s is out of range", name)
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*1e9)), nil
}

// maxDate is the largest distance from 1970 at which a JSON number still tells
// one second from the next (RFC 8259 section 6).
const maxDate = 1 << 53

// Get returns the claim at path, in which dots reach inside objects. At each level
// the longest member name that path starts with wins, so that a name which holds
// dots itself, "https://example.com/roles", is found. Objects and arrays are
// copies, numbers are [json.Number].
func (c *Claims) Get(path string) (any, bool) {
	members := c.members
	for {
		name, rest := longestMember(members, path)
		v, ok := members[name]
		if !ok || rest == "" {
			return clone(v), ok
		}
		if members, ok = v.(map[string]any); !ok {
			return nil, false
		}
		path = rest
	}
}

// longestMember splits path after the longest name that members has.
func longestMember(members map[string]any, path string) (name, rest string) {
	for end := len(path); end >= 0; end = strings.LastIndexByte(path[:end], '.') {
		if _, ok := members[path[:end]]; ok {
			return path[:end], strings.TrimPrefix(path[end:], ".")
		}
	}
	return path, ""
}

// clone copies whatever of a decoded JSON value can be changed.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := maps.Clone(v)
		for name := range c {
			c[name] = clone(c[name])
		}
		return c
	case []any:
		c := slices.Clone(v)
		for i := range c {
			c[i] = clone(c[i])
		}
		return c
	}
	return v
}

// Decode unmarshals the claims set into v, by the rules of [json.Unmarshal].
func (c *Claims) Decode(v any) error {
	if c.payload == nil {
		return errors.New("decoding claims: there are none")
	}
	return json.Unmarshal(c.payload, v)
}

// Payload returns a copy of the claims set as it was signed.
func (c *Claims) Payload() []byte { return slices.Clone(c.payload) }

// Size returns roughly how many bytes of memory the claims take: a cost for caches.
func (c *Claims) Size() int {
	const fixed = 256
	return fixed + len(c.payload) + sizeOf(c.members)
}

// sizeOf adds up what Go's maps, slices and strings take, rounded up: a cache that
// counts too little holds more than it may.
func sizeOf(v any) int {
	const word, slot, table = 16, 40, 304
	switch v := v.(type) {
	case map[string]any:
		size := table
		for name, member := range v {
			size += slot + len(name) + sizeOf(member)
		}
		return size
	case []any:
		size := 3 * word / 2
		for _, element := range v {
			size += word + sizeOf(element)
		}
		return size
	case string:
		return word + len(v)
	case json.Number:
		return word + len(v)
	}
	return 0
}
