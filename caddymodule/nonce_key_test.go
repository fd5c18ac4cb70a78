package caddymodule

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
)

func nonceKeyIn(directory string) storedKeys {
	return nonceKeyOf(&certmagic.FileStorage{Path: directory}, "95b11417-f18f-457f-8804-68e361f9164f")
}

// Instances that start together on an empty storage must not each give out nonces that
// the others do not know.
func TestNonceKeyIsMadeOnce(t *testing.T) {
	directory := t.TempDir()
	keys := make([][]byte, 4)
	var starting sync.WaitGroup
	for i := range keys {
		starting.Go(func() {
			var err error
			if keys[i], err = nonceKeyIn(directory).nonceKey(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	again, err := nonceKeyIn(directory).nonceKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if len(key) != nonceKeySize || !bytes.Equal(key, again) {
			t.Errorf("instance %d has a key of %d bytes, and not the one that is kept", i, len(key))
		}
	}
	other, err := nonceKeyIn(t.TempDir()).nonceKey(t.Context())
	if err != nil || bytes.Equal(other, again) {
		t.Errorf("another storage has the same key, %v", err)
	}
}

func TestNonceKeyThatIsDamaged(t *testing.T) {
	for _, c := range []struct {
		name, kept string
		good       bool
	}{
		{"whole", strings.Repeat("k", nonceKeySize), true},
		{"with a zero in it", strings.Repeat("k", nonceKeySize-1) + "\x00", true},
		{"empty", "", false},
		{"cut off", strings.Repeat("k", nonceKeySize-1), false},
		{"too long", strings.Repeat("k", nonceKeySize+1), false},
		{"zeros", strings.Repeat("\x00", nonceKeySize), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			directory := t.TempDir()
			stored := nonceKeyIn(directory)
			if err := stored.Save(t.Context(), []byte(c.kept)); err != nil {
				t.Fatal(err)
			}
			key, err := stored.nonceKey(t.Context())
			if c.good {
				if err != nil || string(key) != c.kept {
					t.Errorf("a key of %d bytes, %v, want the one that is kept", len(key), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), stored.key) || !strings.Contains(err.Error(), "delete it") {
				t.Errorf("error %v, want one that names %s and says what to do", err, stored.key)
			}
			if err != nil && strings.Contains(err.Error(), "kkkk") {
				t.Errorf("the error shows the key: %v", err)
			}
			if kept, _ := stored.Load(t.Context()); string(kept) != c.kept {
				t.Error("what was kept has been replaced")
			}
		})
	}
}

// A storage that does not answer is no storage without a key.
func TestNonceKeyOfAStorageThatFails(t *testing.T) {
	directory := t.TempDir()
	if err := os.MkdirAll(filepath.Join(directory, filepath.FromSlash(nonceKeyIn(directory).key)), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, directory := range map[string]string{"a key that cannot be read": directory, "a storage that is no directory": file} {
		stored := nonceKeyIn(directory)
		key, err := stored.nonceKey(t.Context())
		if err == nil || key != nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), stored.key) {
			t.Errorf("%s: a key of %d bytes and error %v, want none, and an error that names it", name, len(key), err)
		}
	}
}
