package store

import (
	"bytes"
	"encoding/binary"
)

// A node is a page of a tree: a leaf with entries, or a branch with further pages.
type node struct {
	leaf  bool
	count int
	bytes []byte // all of it, from the head on
}

// A pageHead is how every page begins.
type pageHead struct {
	ID           uint64
	Flags, Count uint16
	Overflow     uint32 // how many pages go on with it
}

const (
	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
)

func newNode(b []byte) (node, error) {
	var head pageHead
	if _, err := binary.Decode(b, binary.NativeEndian, &head); err != nil {
		return node{}, damaged("it is cut short")
	}
	if head.Flags != leafFlag && head.Flags != branchFlag {
		return node{}, damaged("it is of no kind that there is (%#x)", head.Flags)
	}
	return node{leaf: head.Flags == leafFlag, count: int(head.Count), bytes: b}, nil
}

// An element is an entry of a leaf, or of a branch the first key of another page.
type element struct {
	key    []byte
	bucket bool   // the value is a bucket
	value  []byte // of a leaf
	child  uint64 // of a branch
}

// elementSize is the length of what a page says of an entry, before all entries: of
// a leaf what it is, where it is from here, and how long key and value are; of a branch
// where it is, how long the key is, and the number of the page.
const elementSize = 16

// elements returns what is in a node, if the keys are in order and in [low, high).
func (n node) elements(low, high []byte) ([]element, error) {
	if n.count == 0 && !n.leaf {
		return nil, damaged("it leads nowhere")
	}
	elements := make([]element, n.count)
	for i := range elements {
		e, err := n.element(headerSize + i*elementSize)
		if err != nil {
			return nil, err
		}
		inOrder := bytes.Compare(e.key, low) >= 0
		if i > 0 {
			inOrder = bytes.Compare(e.key, elements[i-1].key) > 0
		}
		if !inOrder || high != nil && bytes.Compare(e.key, high) >= 0 {
			return nil, damaged("its keys are not in order")
		}
		elements[i] = e
	}
	return elements, nil
}

func (n node) element(at int) (e element, err error) {
	if len(n.bytes) < at+elementSize {
		return e, damaged("it has more entries than there is room for")
	}
	word := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(n.bytes[at+4*i:])) }
	from, keySize, valueSize := word(0), word(1), uint64(0)
	if n.leaf {
		e.bucket = word(0) == 1
		if word(0) > 1 {
			return e, damaged("it has an entry of no kind that there is (%#x)", word(0))
		}
		from, keySize, valueSize = word(1), word(2), word(3)
	} else {
		e.child = binary.NativeEndian.Uint64(n.bytes[at+8:])
	}
	from += uint64(at) //nolint:gosec // a place in a page
	end := from + keySize + valueSize
	if keySize == 0 || end > uint64(len(n.bytes)) {
		return e, damaged("it has an entry that is not in it")
	}
	e.key, e.value = n.bytes[from:from+keySize], n.bytes[from+keySize:end]
	return e, nil
}
