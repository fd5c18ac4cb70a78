package store

import (
	"fmt"
	"io"
)

// checkFreelist looks at the page that bbolt reads first of all, and panics over
// while it holds the lock, if it is not what the meta page says it is.
func checkFreelist(file io.ReaderAt, meta *metaPage) error {
	_, err := readFreelist(file, meta)
	if err == nil {
		return nil
	}
	// The process that has the file may use the page for something else, but not
	// before it has committed once more. Then this file is well, and locked.
	if now := latestMeta(file); now == nil || now.ID != meta.ID {
		return nil
	}
	return err
}

// A freelist says which pages may be written over.
type freelist struct {
	pages uint64 // how many pages it takes up itself
	free  []uint64
}

// freeSize is the length of an item: the number of a page.
const freeSize = 8

// manyFree is the count of a list that is longer than a count can say: its first item
// is its length.
const manyFree = 0xFFFF

func readFreelist(file io.ReaderAt, meta *metaPage) (*freelist, error) {
	var head pageHead
	if meta.Freelist >= meta.Pages {
		return nil, damaged("it is no store: it has no list of free pages")
	}
	at := meta.offset(meta.Freelist)
	if err := readAt(file, &head, at); err != nil {
		return nil, fmt.Errorf("reading its list of free pages: %w", err)
	}
	if head.ID != meta.Freelist || head.Flags != freelistFlag {
		return nil, damaged("its list of free pages is not where it should be")
	}
	at += headerSize
	room := (uint64(head.Overflow)+1)*uint64(meta.PageSize) - headerSize
	length := uint64(head.Count)
	if length == manyFree {
		if err := readAt(file, &length, at); err != nil {
			return nil, fmt.Errorf("reading its list of free pages: %w", err)
		}
		at += freeSize
		room -= freeSize
	}
	if length > room/freeSize || length > meta.Pages {
		return nil, damaged("its list of free pages has %d, of %d pages", length, meta.Pages)
	}
	l := &freelist{pages: uint64(head.Overflow) + 1, free: make([]uint64, length)}
	if err := readAt(file, l.free, at); err != nil {
		return nil, fmt.Errorf("reading its list of free pages: %w", err)
	}
	return l, nil
}
