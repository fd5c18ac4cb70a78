package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
)

// A tally is what a number of items come to, in whatever order they are counted. Two
// that are equal are of the same items.
type tally struct {
	seed  maphash.Seed
	items uint64
	sum   uint64
}

func (t *tally) add(item, check []byte) {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.Write(item)
	_, _ = h.Write(check)
	t.items++
	t.sum += h.Sum64()
}

// castagnoli is what disks use as well, so that processors have an instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is of something that is kept elsewhere in the file than the checksum is, or
// just before it.
func checksum(of []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(of, castagnoli))
}

// bears says whether sum is the checksum, or there is none, because a version without
// checksums wrote it.
func bears(sum, of []byte) bool {
	return len(sum) == 0 || bytes.Equal(sum, checksum(of))
}
