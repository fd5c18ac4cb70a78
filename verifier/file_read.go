package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFileBytes bounds a file as [RemoteConfig] bounds a response.
const maxFileBytes = 1 << 20

// A fileReader reads one file again and again. No read can be ended that hangs, as it does
// on a network file system that is gone: it goes on in a goroutine of its own, and no
// other is begun before it has returned.
type fileReader struct {
	read     func(path string) ([]byte, error) // readFile
	path     string
	patience time.Duration
	underWay chan fileContent // what the read under way will bring; nil where there is none
}

type fileContent struct {
	bytes []byte
	err   error
}

// next returns what the file holds, or an error where that takes longer than patience, or
// than ctx. It must not be called twice at a time.
func (r *fileReader) next(ctx context.Context) ([]byte, error) {
	if r.underWay == nil {
		r.underWay = make(chan fileContent, 1) // has room, so that nobody needs to come for it
		go func(found chan<- fileContent) {
			content, err := r.read(r.path)
			found <- fileContent{content, err}
		}(r.underWay)
	}
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	select {
	case found := <-r.underWay:
		r.underWay = nil
		return found.bytes, found.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, fmt.Errorf("it cannot be read within %s: see that the file system it lies on answers", r.patience)
	}
}

// readFile reads no pipe and no device: whoever opens one may wait for ever, and what it
// brings is gone when it has been read.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = errors.New("larger than 1 MiB")
	}
	return content, err
}
