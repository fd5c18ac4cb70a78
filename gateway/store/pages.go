package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// checkPages reads all of a file that bbolt has opened and locked, and refuses it unless
// each page is what bbolt would write and is there for one purpose. bbolt looks at what
// it needs, when it needs it: a key that has moved is a key that is not there, so that it
// can be used again; a page that is said to be free and is not is written over a day
// later; and a page that leads back to itself is read for ever. bbolt's own check is of
// no use for a file that may hold anything: it follows such a page until the process ends.
func checkPages(file io.ReaderAt) error {
	meta, err := bothMetas(file)
	if err != nil {
		return err
	}
	p := &pageCheck{file: file, meta: meta, taken: make([]bool, meta.Pages)}
	if err := p.take(0, 2); err != nil {
		return err
	}
	if err := p.checkFree(); err != nil {
		return err
	}
	if err := p.checkTree(meta.Root, nil, nil); err != nil {
		return err
	}
	for id, taken := range p.taken {
		if !taken {
			return damaged("page %d is neither in use nor free", id)
		}
	}
	return nil
}

// bothMetas returns the later one of the meta pages. Each commit writes the older one, so
// the state before the last commit is there as well, and bbolt would go by that if the
// later one cannot be read: it would forget what was used up last. Which of two it was
// that cannot be read is not to be found out. No commit of which anybody was told leaves
// such a page behind, and neither does kill -9: a meta page is part of one sector.
func bothMetas(file io.ReaderAt) (*metaPage, error) {
	first := readMeta(file, 0)
	if first == nil {
		return nil, damaged("the first of its two meta pages is not what was written")
	}
	second := readMeta(file, int64(first.PageSize))
	if second == nil {
		return nil, damaged("the second of its two meta pages is not what was written")
	}
	if second.ID > first.ID {
		return second, nil
	}
	return first, nil
}

// A pageCheck knows which pages it has come by.
type pageCheck struct {
	file  io.ReaderAt
	meta  *metaPage
	taken []bool // by number
}

// within says whether the file has n pages from id on.
func (p *pageCheck) within(id, n uint64) error {
	if end := uint64(len(p.taken)); id >= end || n > end-id {
		return damaged("it leads to page %d, and has %d", id, end)
	}
	return nil
}

// take says that n pages from id on are there for one purpose, and so for no other.
func (p *pageCheck) take(id, n uint64) error {
	if err := p.within(id, n); err != nil {
		return err
	}
	for ; n > 0; id, n = id+1, n-1 {
		if p.taken[id] {
			return damaged("page %d has two purposes", id)
		}
		p.taken[id] = true
	}
	return nil
}

func (p *pageCheck) checkFree() error {
	l, err := readFreelist(p.file, p.meta)
	if err != nil {
		return err
	}
	if err := p.take(p.meta.Freelist, l.pages); err != nil {
		return err
	}
	for _, id := range l.free {
		if err := p.take(id, 1); err != nil {
			return fmt.Errorf("reading its list of free pages: %w", err)
		}
	}
	return nil
}

// checkTree checks a page with all that are below it, whose keys must be in [low, high),
// as far as these are not nil.
func (p *pageCheck) checkTree(id uint64, low, high []byte) error {
	n, err := p.read(id)
	if err != nil {
		return err
	}
	elements, err := n.elements(low, high)
	if err != nil {
		return fmt.Errorf("reading page %d: %w", id, err)
	}
	for i, e := range elements {
		switch {
		case !n.leaf:
			end := high
			if i+1 < len(elements) {
				end = elements[i+1].key
			}
			err = p.checkTree(e.child, e.key, end)
		case e.bucket:
			err = p.checkBucket(e.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucketSize is the length of what stands in the place of a value for a bucket: the page
// of its root and its sequence. Where the root is 0, the page itself follows.
const bucketSize = 16

func (p *pageCheck) checkBucket(value []byte) error {
	if len(value) < bucketSize {
		return damaged("a bucket is cut short")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return p.checkTree(root, nil, nil)
	}
	n, err := newNode(value[bucketSize:])
	if err != nil {
		return err
	}
	elements, err := n.elements(nil, nil)
	if err != nil {
		return fmt.Errorf("reading a small bucket: %w", err)
	}
	for _, e := range elements {
		if !n.leaf || e.bucket {
			return damaged("a small bucket holds another one")
		}
	}
	return nil
}

// maxNode is longer than any page with all that belongs to it: of the two entries, at
// least, of which none is longer than what a probe writes.
const maxNode = 16 << 20

// read reads a page of the tree, with the pages that go on with it.
func (p *pageCheck) read(id uint64) (node, error) {
	if err := p.within(id, 1); err != nil { // a number that is far too high has no place that could be read
		return node{}, err
	}
	var head pageHead
	if err := readAt(p.file, &head, p.meta.offset(id)); err != nil {
		return node{}, fmt.Errorf("reading page %d: %w", id, err)
	}
	if head.ID != id {
		return node{}, damaged("page %d is page %d", id, head.ID)
	}
	pages := uint64(head.Overflow) + 1
	if err := p.take(id, pages); err != nil {
		return node{}, err
	}
	if pages*uint64(p.meta.PageSize) > maxNode {
		return node{}, damaged("page %d goes on for %d pages", id, pages)
	}
	b := make([]byte, pages*uint64(p.meta.PageSize))
	if _, err := p.file.ReadAt(b, p.meta.offset(id)); err != nil {
		return node{}, fmt.Errorf("reading page %d: %w", id, err)
	}
	n, err := newNode(b)
	if err != nil {
		return node{}, fmt.Errorf("reading page %d: %w", id, err)
	}
	return n, nil
}

func readAt(file io.ReaderAt, into any, at int64) error {
	b := make([]byte, binary.Size(into))
	if _, err := file.ReadAt(b, at); err != nil {
		if errors.Is(err, io.EOF) {
			return damaged("it is cut short")
		}
		return err
	}
	_, err := binary.Decode(b, binary.NativeEndian, into)
	return err
}
