package httpapi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// NonceLifetime is how long after it was given out a nonce is good. The SDKs fetch some
// ahead and keep them for a day, prolong that by a day when they fetch more, and use the
// oldest first: a shorter life would have them refused. Nothing is granted for a nonce.
const NonceLifetime = 48 * time.Hour

// nonceSkew is how far ahead the clock of the instance that gave a nonce out may be.
const nonceSkew = time.Minute

// A nonce is the hexadecimal text of the time at which it was given out, of randomness,
// and of an HMAC-SHA256 over both: letters and digits alone, so that it may stand in a
// header, a URL and a message for people to sign.
const (
	nonceTimeSize  = 8
	nonceStampSize = nonceTimeSize + 16
	nonceTextSize  = 2 * (nonceStampSize + sha256.Size)
)

// nonces are those of one environment. None is recorded anywhere, neither when it is given
// out nor when it comes back: so it may come back more than once while it is good, on any
// instance with the same key. It says about when a signature was made, and not that it is new.
type nonces struct {
	key   []byte
	bound string // what every HMAC begins with: nonces of one environment are none of another
	now   func() time.Time
}

func newNonces(environment string, o Options) *nonces {
	n := &nonces{key: o.NonceKey, bound: "nonce " + environment + "\n", now: o.Now}
	if len(n.key) == 0 {
		n.key = random(sha256.Size)
	}
	if n.now == nil {
		n.now = time.Now
	}
	return n
}

// random returns bytes that nobody can guess. It cannot fail: [rand.Read] ends the process rather than return an error.
func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	return b
}

// issue makes a nonce.
func (n *nonces) issue() string {
	at := binary.BigEndian.AppendUint64(nil, uint64(n.now().UnixMilli()))
	return n.seal(append(at, random(nonceStampSize-nonceTimeSize)...))
}

// seal is the one text of the nonce with this time and randomness.
func (n *nonces) seal(stamp []byte) string {
	mac := hmac.New(sha256.New, n.key)
	mac.Write([]byte(n.bound))
	mac.Write(stamp)
	return hex.EncodeToString(mac.Sum(stamp))
}

// check returns nil for a nonce that was given out with this key, for this environment,
// and not too long ago.
func (n *nonces) check(nonce string) error {
	if len(nonce) != nonceTextSize {
		return errNotOurNonce
	}
	stamp, err := hex.DecodeString(nonce[:2*nonceStampSize])
	if err != nil || !hmac.Equal([]byte(n.seal(stamp)), []byte(nonce)) { // of the text: another spelling is another nonce
		return errNotOurNonce
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(stamp))) //nolint:gosec // what issue has written
	if age := n.now().Sub(at); age >= NonceLifetime || age < -nonceSkew {
		return fmt.Errorf("the nonce was not given out within the last %s: fetch a new one", NonceLifetime)
	}
	return nil
}

var errNotOurNonce = errors.New("the nonce was not given out here: fetch one")

const (
	usualNonces = 5 // what the SDKs ask for
	mostNonces  = 20
)

// noncesGiven is what the SDKs put by for later sign-ins. Without one they ask again at
// once, and for ever; so there is always one.
type noncesGiven struct {
	Nonces []string `json:"nonces"`
}

// giveNonces gives out as many nonces as are asked for, and no more than mostNonces: one is enough.
func (a *API) giveNonces(w http.ResponseWriter, r *http.Request) {
	count, err := nonceCount(r.URL.RawQuery)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	given := noncesGiven{Nonces: make([]string, count)}
	for i := range given.Nonces {
		given.Nonces[i] = a.nonces.issue()
	}
	writeFresh(w, given)
}

// nonceCount is how many are asked for. More than there are at once is no mistake: who
// gets fewer asks again.
func nonceCount(raw string) (uint64, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return 0, badRequest("the query is wrongly encoded, or has a semicolon in it")
	}
	asked, ok := query["count"]
	if !ok {
		return usualNonces, nil
	}
	if len(asked) > 1 {
		return 0, badRequest("the parameter count came twice: send it once")
	}
	count, err := strconv.ParseUint(asked[0], 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || count == 0 {
		return 0, badRequest("the parameter count must be a number from 1 to %d", mostNonces)
	}
	return min(count, mostNonces), nil
}

// nonceGiven is what the React SDK waits for before it counts as loaded.
type nonceGiven struct {
	Nonce string `json:"nonce"`
}

func (a *API) giveNonce(w http.ResponseWriter, _ *http.Request) {
	writeFresh(w, nonceGiven{Nonce: a.nonces.issue()})
}
