package store_test

import (
	"encoding/binary"
	"testing"
)

// An item is what a page says of the i-th thing in it, in four words: of a leaf its kind,
// where it is from here, and how long key and value are; of a branch where the key is from
// here, how long it is, and in two the page that it leads to.
type item []byte

func itemOf(page []byte, i int) item { return page[16+16*i:] }

func (e item) get(word int) int { return int(binary.NativeEndian.Uint32(e[4*word:])) }

func (e item) put(word, value int) { binary.NativeEndian.PutUint32(e[4*word:], uint32(value)) }

const (
	kind, keyAt, keySize, valueSize = 0, 1, 2, 3 // of a leaf
	firstAt, firstSize              = 0, 1       // of a branch
)

// eachLeaf calls change with all leaves that hold buckets, or with those that do not.
func eachLeaf(ofBuckets bool, change func(page []byte)) func(content []byte) {
	return eachPage(leafPage, func(_ int, p []byte) {
		if (itemOf(p, 0).get(kind) == 1) == ofBuckets {
			change(p)
		}
	})
}

// eachSmallBucket calls change with all buckets that are in the page of another one, and
// hold something.
func eachSmallBucket(change func(page []byte)) func(content []byte) {
	native := binary.NativeEndian
	return eachLeaf(true, func(p []byte) {
		for i := range int(native.Uint16(p[10:])) {
			e := itemOf(p, i)
			held := e[e.get(keyAt)+e.get(keySize):]
			if small := e.get(kind) == 1 && native.Uint64(held) == 0; small && native.Uint16(held[16+10:]) > 0 {
				change(held[16:])
			}
		}
	})
}

// lastBegins has the second page of each branch begin with the last key of the first.
func lastBegins(content []byte) {
	native := binary.NativeEndian
	eachPage(branchPage, func(_ int, p []byte) {
		child := content[native.Uint64(p[24:])*uint64(pageSize):]
		if native.Uint16(child[8:]) != leafPage {
			return // a branch that is in use no longer
		}
		last, second := itemOf(child, int(native.Uint16(child[10:]))-1), itemOf(p, 1)
		copy(second[second.get(firstAt):][:second.get(firstSize)], last[last.get(keyAt):])
	})(content)
}

// TestFileEntriesLeadAstray: each page is in its place, and what it says of its entries is
// not so. Then a key that was used is looked for where it is not, and can be used again.
func TestFileEntriesLeadAstray(t *testing.T) {
	wantRefused(t, usedStore(t), map[string]damage{
		"a branch sends keys the wrong way": {eachPage(branchPage, func(_ int, p []byte) {
			e := itemOf(p, 1)
			e[e.get(firstAt)] ^= 0x80
		}), "not in order"},
		// One byte behind a key is a key that comes after it, and before all others.
		"a branch begins its second page too early": {eachPage(branchPage, func(_ int, p []byte) {
			first, second := itemOf(p, 0), itemOf(p, 1)
			second.put(firstAt, first.get(firstAt)-16)
			second.put(firstSize, first.get(firstSize)+1)
		}), "not in order"},
		"a branch begins its second page too late": {eachPage(branchPage, func(_ int, p []byte) {
			second := itemOf(p, 1)
			second.put(firstSize, second.get(firstSize)+1)
		}), "not in order"},
		"a branch begins its second page one key too early": {lastBegins, "not in order"},
		"two keys are one": {eachLeaf(false, func(p []byte) {
			first, second := itemOf(p, 0), itemOf(p, 1)
			second.put(keyAt, first.get(keyAt)-16)
			second.put(keySize, first.get(keySize))
		}), "not in order"},
		"a key is not in its page":            {eachLeaf(true, func(p []byte) { itemOf(p, 0).put(keySize, 1<<31) }), "an entry that is not in it"},
		"a key has no length":                 {eachLeaf(false, func(p []byte) { itemOf(p, 0).put(keySize, 0) }), "an entry that is not in it"},
		"an entry is of another kind":         {eachLeaf(false, func(p []byte) { itemOf(p, 0).put(kind, 2) }), "an entry of no kind that there is (0x2)"},
		"a bucket is of another kind":         {eachLeaf(true, func(p []byte) { itemOf(p, 0).put(kind, 3) }), "an entry of no kind that there is (0x3)"},
		"more entries than there is room for": {eachPage(leafPage, func(_ int, p []byte) { binary.NativeEndian.PutUint16(p[10:], 0xffff) }), "it has"},

		"a bucket is cut short":                 {eachLeaf(true, func(p []byte) { itemOf(p, 0).put(valueSize, 15) }), "a bucket is cut short"},
		"a small bucket has a key of no length": {eachSmallBucket(func(p []byte) { itemOf(p, 0).put(keySize, 0) }), "an entry that is not in it"},
		"a small bucket has a bucket":           {eachSmallBucket(func(p []byte) { itemOf(p, 0).put(kind, 1) }), "a small bucket holds another one"},
		"a small bucket leads to further pages": {eachSmallBucket(func(p []byte) { binary.NativeEndian.PutUint16(p[8:], branchPage) }), "a small bucket holds another one"},
		"a small bucket is of no kind there is": {eachSmallBucket(func(p []byte) { binary.NativeEndian.PutUint16(p[8:], 0) }), "of no kind that there is (0x0)"},
	})
}
