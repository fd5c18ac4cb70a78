package secrecy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
)

// privateMembers are those of a JWK that only its owner may have (RFC 7518, sections 6.2.2,
// 6.3.2 and 6.4; RFC 8037, section 2).
var privateMembers = map[string]bool{"d": true, "p": true, "q": true, "dp": true, "dq": true, "qi": true, "k": true}

// AddKeys takes for secrets what is private in the JWKs of a JSON document, however deep they lie in
// it: as it stands there, and as somebody would print it who prints numbers. It returns how many
// such members there are.
func (r *Recorder) AddKeys(where string, document []byte) (private int) {
	var tree any
	if err := json.Unmarshal(document, &tree); err != nil {
		return 0
	}
	return r.addKeys(where, tree)
}

func (r *Recorder) addKeys(where string, tree any) (private int) {
	switch v := tree.(type) {
	case []any:
		for _, element := range v {
			private += r.addKeys(where, element)
		}
	case map[string]any:
		_, isKey := v["kty"]
		for name, member := range v {
			if value, ok := member.(string); ok && isKey && privateMembers[name] {
				r.addEncoded(where, value)
				private++
				continue
			}
			private += r.addKeys(where, member)
		}
	}
	return private
}

func (r *Recorder) addEncoded(where, value string) {
	r.Add(where, value)
	if octets, err := base64.RawURLEncoding.DecodeString(value); err == nil {
		r.AddBytes(where, octets)
		r.Add(where, new(big.Int).SetBytes(octets).String())
	}
}

// AddBytes takes octets for a secret, in each of the forms in which octets are usually written.
func (r *Recorder) AddBytes(where string, octets []byte) {
	r.Add(where, hex.EncodeToString(octets))
	r.Add(where, base64.RawURLEncoding.EncodeToString(octets))
	r.Add(where, base64.RawStdEncoding.EncodeToString(octets))
}
