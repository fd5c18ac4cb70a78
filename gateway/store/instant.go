package store

import (
	"encoding/binary"
	"fmt"
	"time"
)

// An instant is a time of the wall clock, of any year, without the pointer and the
// monotonic reading of a [time.Time]. The zero instant is the zero time.
type instant struct {
	sec  int64 // since year 1
	nsec uint32
}

// instantSize is the length of an encoded instant.
const instantSize = 12

// unixToYear1 is the distance between the epochs of Unix and of package time.
const unixToYear1 = 62_135_596_800

func instantOf(t time.Time) instant {
	return instant{t.Unix() + unixToYear1, uint32(t.Nanosecond())} //nolint:gosec // 0 to 999,999,999
}

func (i instant) time() time.Time {
	return time.Unix(i.sec-unixToYear1, int64(i.nsec)).UTC()
}

func (i instant) after(j instant) bool {
	return i.sec > j.sec || i.sec == j.sec && i.nsec > j.nsec
}

func (i instant) String() string { return i.time().Format(time.RFC3339Nano) }

// bytes encodes i so that the bytes sort as the instants do.
func (i instant) bytes() []byte {
	b := make([]byte, 0, instantSize)
	b = binary.BigEndian.AppendUint64(b, uint64(i.sec)^1<<63) //nolint:gosec // its bits, the sign turned over
	return binary.BigEndian.AppendUint32(b, i.nsec)
}

// cutInstant is the reverse of bytes. It returns what follows the instant.
func cutInstant(b []byte) (i instant, rest []byte, err error) {
	if len(b) < instantSize {
		return instant{}, nil, fmt.Errorf("reading a time: %d bytes, want %d", len(b), instantSize)
	}
	i.sec = int64(binary.BigEndian.Uint64(b) ^ 1<<63) //nolint:gosec // the very bits that bytes wrote
	if i.nsec = binary.BigEndian.Uint32(b[8:]); i.nsec >= uint32(time.Second) {
		return instant{}, nil, fmt.Errorf("reading a time: %d nanoseconds are more than a second", i.nsec)
	}
	return i, b[instantSize:], nil
}

func later(i, j instant) instant {
	if j.after(i) {
		return j
	}
	return i
}
