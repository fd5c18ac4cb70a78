package store

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"os"
)

// smallest is the size of a bbolt file that has nothing in it yet: four pages of
// 4 KiB, the smallest there are. No file that is whole is smaller.
const smallest = 4 * 4096

// A metaPage is the head of one of bbolt's two meta pages, as it is on the disk in
// the byte order of the machine. Each commit writes the one that is older.
type metaPage struct {
	Header                                     [headerSize]byte
	Magic, Version, PageSize, Flags            uint32
	Root, Sequence, Freelist, Pages, ID, Check uint64
}

const (
	headerSize = 16 // of every page: a pageHead
	summedSize = 56 // from Magic to ID: what Check is the sum of
	metaSize   = headerSize + summedSize + 8
	metaMagic  = 0xED0CDAED
)

// offset is where a page begins.
func (m *metaPage) offset(page uint64) int64 {
	return int64(page) * int64(m.PageSize) //nolint:gosec // the file has been found to be as long, or the read fails
}

// openWhole opens a file for bbolt, unless it is not all there. bbolt trusts what
// it finds: it maps the file into memory and reads where the meta page points to,
// and where the file ends before that, the process gets a SIGBUS.
//
// It runs before bbolt locks the file, so another process may be writing it. That
// does no harm: the file only grows, and grows before a meta page says so.
func openWhole(path string, flag int, mode os.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	if err := checkWhole(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func checkWhole(file *os.File) error {
	meta := latestMeta(file)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size < smallest {
		return damaged("it is no store: it has %d bytes, and an empty store has %d", size, smallest)
	}
	if meta == nil {
		return nil // for bbolt to refuse, which it does once it has the lock
	}
	if end := meta.offset(meta.Pages); size < end {
		return damaged("it is cut short: it has %d bytes and should have %d", size, end)
	}
	return checkFreelist(file, meta)
}

// latestMeta returns the meta page that bbolt will go by, or nil if it will not
// take either.
func latestMeta(file io.ReaderAt) *metaPage {
	var latest *metaPage
	// The second page is one page from the start, and only the first says how long
	// a page is. So where that one is broken, all lengths are tried.
	for _, at := range append([]int64{0}, pageSizes()...) {
		m := readMeta(file, at)
		if m != nil && (latest == nil || m.ID > latest.ID) {
			latest = m
		}
	}
	return latest
}

func pageSizes() (sizes []int64) {
	for size := int64(1 << 10); size <= 1<<24; size <<= 1 {
		sizes = append(sizes, size)
	}
	return sizes
}

func readMeta(file io.ReaderAt, at int64) *metaPage {
	var b [metaSize]byte
	var m metaPage
	if _, err := file.ReadAt(b[:], at); err != nil {
		return nil
	}
	if _, err := binary.Decode(b[:], binary.NativeEndian, &m); err != nil {
		return nil
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[headerSize : headerSize+summedSize])
	if m.Magic != metaMagic || m.Check != sum.Sum64() || at != 0 && at != int64(m.PageSize) {
		return nil
	}
	return &m
}
