package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// FileStore keeps its records in one file of this machine: what was used up stays
// so after a crash or a loss of power. One process at a time can have it open. A file
// that is damaged is refused at start.
type FileStore struct {
	// The path of the file. Default: a file in Caddy's data directory.
	Path string `json:"path,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (FileStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "byoa.stores.file",
		New: func() caddy.Module { return new(FileStore) },
	}
}

// Provision resolves placeholders.
func (s *FileStore) Provision(caddy.Context) error {
	l := newLoading("store file: ")
	l.text("path", &s.Path)
	return l.err
}

// UnmarshalCaddyfile reads the store from Caddyfile tokens. Syntax:
//
//	store file [<path>]
func (s *FileStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if d.NextArg() {
		s.Path = d.Val()
		if err := checkText(s.Path); err != nil {
			return d.Errf("store file: %w", err)
		}
	}
	if err := noArgs(d); err != nil {
		return err
	}
	return noBlock(d)
}

// MemoryStore keeps its records in memory: through config reloads, not through a
// restart. It is bounded: when it is full it refuses, it never forgets early.
type MemoryStore struct{}

// CaddyModule returns the Caddy module information.
func (MemoryStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "byoa.stores.memory",
		New: func() caddy.Module { return new(MemoryStore) },
	}
}

// UnmarshalCaddyfile reads the store from Caddyfile tokens. Syntax:
//
//	store memory
func (*MemoryStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the module
	if err := noArgs(d); err != nil {
		return err
	}
	return noBlock(d)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*FileStore)(nil)
	_ caddyfile.Unmarshaler = (*FileStore)(nil)
	_ caddyfile.Unmarshaler = (*MemoryStore)(nil)
)
