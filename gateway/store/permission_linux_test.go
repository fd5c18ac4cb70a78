package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// TestFileMayNotBeRead: the file is another user's, as it is after somebody has tried the
// gateway as root.
func TestFileMayNotBeRead(t *testing.T) {
	path := mustWrite(t, usedStore(t))
	dir := filepath.Dir(path)
	setModes := func(parentMode, dirMode, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.Chmod(filepath.Dir(dir), parentMode), os.Chmod(dir, dirMode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	setModes(0o755, 0o555, 0)
	t.Cleanup(func() { setModes(0o700, 0o700, 0o600) })
	withoutPrivileges(t, func() {
		for _, path := range []string{path, filepath.Join(dir, "one that is not there")} {
			_, err := store.OpenFile(store.FileConfig{Path: path})
			wantError(t, err, path, "permission denied", "give the user")
		}
	})
	setModes(0o700, 0o700, 0o600)
	if used, err := countUsed(t, path); err != nil || used != keys {
		t.Errorf("opening with the right to: got %d used keys, %v, want %d", used, err, keys)
	}
}

// withoutPrivileges calls f as a user who may do to files what their modes say, which root may not
// be kept from.
func withoutPrivileges(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread() // it is the thread's alone
	defer runtime.UnlockOSThread()
	const nobody = 65534
	before, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0) // it returns who it was
	defer syscall.RawSyscall(syscall.SYS_SETFSUID, before, 0, 0)
	f()
}
