package store_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// TestFileBitTurnsOver: a disk or a memory chip turns one bit over. A database does not
// notice, unless it is in one of a few places: a used key is another key from then on, and
// so can be used again; a session was revoked before it began. Wherever the bit is, the
// store is refused, or everything in it is as it was.
func TestFileBitTurnsOver(t *testing.T) {
	whole := usedStore(t)
	random := rand.New(rand.NewPCG(1, 2))
	refused, taken := 0, 0
	for page := 0; page < len(whole)/pageSize; page++ {
		for _, at := range []int{
			random.IntN(16), 16 + random.IntN(64), // what the page is; where its first entries are
			random.IntN(pageSize), random.IntN(pageSize), random.IntN(pageSize), random.IntN(pageSize),
		} {
			content := bytes.Clone(whole)
			content[page*pageSize+at] ^= 1 << random.IntN(8)
			used, err := countUsed(t, mustWrite(t, content))
			switch {
			case err != nil:
				refused++
				wantError(t, err, "damaged")
			case used != keys:
				t.Errorf("with byte %d of page %d changed: got %d used keys, want an error or %d", at, page, used, keys)
			default:
				taken++
			}
		}
	}
	if refused == 0 || taken == 0 {
		t.Errorf("%d files were refused and %d taken, want some of each", refused, taken)
	}
}

// TestFileCutAnywhere: the disk was full when somebody copied the file, or the copy was
// interrupted.
func TestFileCutAnywhere(t *testing.T) {
	whole := usedStore(t)
	for length := 0; length < len(whole); length += 1 + len(whole)/97 {
		path := mustWrite(t, whole[:length])
		used, err := countUsed(t, path)
		if err != nil {
			wantError(t, err, path)
		} else if used != keys { // what is beyond the last page is there for what comes
			t.Errorf("with %d of %d bytes: got %d used keys, want an error or %d", length, len(whole), used, keys)
		}
	}
	if _, err := store.OpenFile(store.FileConfig{Path: mustWrite(t, whole[:len(whole)*2/3])}); err == nil {
		t.Error("a third of the file went, and it was taken")
	}
}
