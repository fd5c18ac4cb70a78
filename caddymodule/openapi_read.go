package caddymodule

import (
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
)

// maxDocument is how large an OpenAPI document may be.
const maxDocument = 10 << 20

// readDocument reads a file. It wants a regular one: reading a pipe or a device may never end.
func readDocument(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading the document: %s is no regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("reading the document: %s is larger than %s", file, humanize.IBytes(maxDocument))
	}
	return data, nil
}
