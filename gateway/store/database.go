package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// format is the version of the layout of the file. A change to what is there
// already makes it one higher; a further ledger does not.
const format = 1

// lockWait is how long another process may take to let go of the file.
const lockWait = time.Second

var (
	metaName   = []byte("caddy-byoa store")
	formatName = []byte("format")
)

// damaged says that the file cannot be trusted, and what can be done about it.
func damaged(what string, args ...any) error {
	return fmt.Errorf(what+" (the file is damaged, or was never a store: restore it from a copy, or move it away"+
		" and start with an empty store. Either forgets what was used up and revoked since; an empty one also which identities"+
		" are one user's, and what was switched off. So wait first until the proofs and sessions that are out have expired,"+
		" or change the keys that they are signed with)", args...)
}

// forbidden says what the gateway needs where the system does not let it have that.
func forbidden(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: give the user that the gateway runs as the right to read and write it, and its directory", err)
	}
	return err
}

// createDatabase makes an empty store at path, where there must be nothing.
func createDatabase(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket(metaName)
		if err != nil {
			return err
		}
		if err := meta.Put(formatName, strconv.AppendInt(nil, format, 10)); err != nil {
			return err
		}
		return errors.Join(createLedger(tx, spentLedger), createLedger(tx, revokedLedger), createRegister(tx))
	})
	return errors.Join(err, db.Close())
}

// openDatabase opens the file at path, which must exist, for this process alone.
func openDatabase(path string) (db *bolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			_ = file.Close() // and with it goes the lock, unless bbolt has mapped the file by then
			db, err = nil, panicked(p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:      lockWait,
		FreelistType: bolt.FreelistMapType, // the array is slow where many entries expired together
		OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
			file, err = openWhole(path, flag, mode)
			return file, err
		},
	})
	switch {
	case err == nil:
		if err = checkPages(file); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("another process has it open: stop that one, or give this one a path of its own;"+
			" several instances need a store that they can share: %w", err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, damaged("it is no store: %w", err)
	}
	return nil, err
}

// load checks the file's format and contents, and takes over what is answered from
// memory. A file of a version that knew no users gets a register of them, once all else
// is known to be sound.
func (f *File) load() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	var complete bool
	err = f.db.View(func(tx *bolt.Tx) error {
		complete = hasRegister(tx)
		if err := checkFormat(tx); err != nil {
			return err
		}
		if err := f.loadMarks(tx); err != nil || !complete {
			return err
		}
		return f.loadLinks(tx)
	})
	if err != nil || complete {
		return err
	}
	return f.db.Update(createRegister)
}

// loadMarks verifies what was used up and revoked, and takes over all revocations.
func (f *File) loadMarks(tx *bolt.Tx) error {
	spent, revoked, err := openMarks(tx)
	if err != nil {
		return err
	}
	if err := spent.verify(func(string, *record) error { return nil }); err != nil {
		return err
	}
	return revoked.verify(func(key string, r *record) error {
		at, _, err := cutInstant(r.value)
		if err != nil {
			return damaged("reading a revocation: %v", err)
		}
		return f.revoked.take(key, revocation{at, r.until})
	})
}

// loadLinks verifies the users, and takes over all links.
func (f *File) loadLinks(tx *bolt.Tx) error {
	r, err := f.register(tx, instant{})
	if err != nil {
		return err
	}
	return r.verify(f.links.learn)
}

func checkFormat(tx *bolt.Tx) error {
	meta := tx.Bucket(metaName)
	if meta == nil {
		return damaged("it is a database, but no store")
	}
	v, err := strconv.Atoi(string(meta.Get(formatName)))
	switch {
	case err != nil || v < 1:
		return damaged("its format %q is none", meta.Get(formatName))
	case v > format:
		return fmt.Errorf("it was made by a newer version, in format %d, and this one reads format %d:"+
			" go back to the newer version, or give this one a path of its own", v, format)
	}
	return nil
}

// syncDirectory makes the disk keep the names in dir: a file that was synced is
// lost all the same if its name is not.
func syncDirectory(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it cannot, and journals names by itself
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
