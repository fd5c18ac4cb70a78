package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// lines are the subdirectives that a block knows, by name.
type lines[T any] map[string]line[T]

// line is one subdirective: how many arguments it takes, and what it does to a T.
type line[T any] struct {
	min, max int // arguments; max < 0: any number

	// repeat is true where the line may stand more than once in its block.
	repeat bool

	// set takes the arguments. Its error needs no place: parse adds the name, the file and the line.
	set func(t *T, args []string) error

	// open is set instead for a line that has a block, or a guest module. It finds d at
	// the name of the line, takes the arguments itself, and says where its errors are.
	open func(t *T, d *caddyfile.Dispenser) error
}

// parse reads the block that follows, if one does, into t. A line whose name is
// not in ls goes to other; where other is nil, it is an error.
func (ls lines[T]) parse(d *caddyfile.Dispenser, t *T, other func(d *caddyfile.Dispenser) error) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		l, known := ls[name]
		var err error
		switch {
		case name == "{" || name == "}":
			err = d.Errf("unexpected '%s': the line before takes no block", name)
		case !known && other != nil:
			err = other(d)
		case !known:
			err = d.Errf("unrecognized subdirective '%s'; known here: %s", name, ls.names())
		case seen[name] && !l.repeat:
			err = d.Errf("%s: already set in this block", name)
		default:
			seen[name] = true
			err = l.parse(d, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (ls lines[T]) names() string {
	return strings.Join(slices.Sorted(maps.Keys(ls)), ", ")
}

func (l line[T]) parse(d *caddyfile.Dispenser, t *T) error {
	if l.open != nil {
		return l.open(t, d)
	}
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) < l.min || l.max >= 0 && len(args) > l.max {
		return d.ArgErr()
	}
	if err := l.set(t, args); err != nil {
		return d.Errf("%s: %w", name, err)
	}
	return nil
}

// noArgs is an error if an argument follows the name of a line that takes only a block.
func noArgs(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// noBlock is an error if a block follows a line that takes none.
func noBlock(d *caddyfile.Dispenser) error {
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unexpected block: '%s' is no option here", d.Val())
	}
	return nil
}

// block is a line without arguments whose block is read into one field. If there is a check, it sees the whole.
func block[T, F any](field func(*T) *F, inner lines[F], check func(*F) error) line[T] {
	return line[T]{open: func(t *T, d *caddyfile.Dispenser) error {
		start := *d
		if err := noArgs(d); err != nil {
			return err
		}
		if err := inner.parse(d, field(t), nil); err != nil || check == nil {
			return err
		}
		if err := check(field(t)); err != nil {
			return start.Errf("%s: %w", start.Val(), err)
		}
		return nil
	}}
}

// text is a line of one argument that check finds nothing wrong with.
func text[T any](field func(*T) *string, check func(string) error) line[T] {
	return line[T]{min: 1, max: 1, set: func(t *T, args []string) error {
		*field(t) = args[0]
		return check(args[0])
	}}
}

// list is a line of one or more arguments. Where it stands again, it adds to what is there.
func list[T any](field func(*T) *[]string, check func(string) error) line[T] {
	return line[T]{min: 1, max: -1, repeat: true, set: func(t *T, args []string) error {
		*field(t) = append(*field(t), args...)
		return checkEach(*field(t), check)
	}}
}

// flag is a line that stands alone or with on or off; alone means on.
func flag[T any](field func(*T) *bool) line[T] {
	return line[T]{min: 0, max: 1, set: func(t *T, args []string) (err error) {
		*field(t), err = parseSwitch(args)
		return err
	}}
}

// toggle is a flag whose default is on.
func toggle[T any](field func(*T) **bool) line[T] {
	return line[T]{min: 0, max: 1, set: func(t *T, args []string) error {
		on, err := parseSwitch(args)
		*field(t) = &on
		return err
	}}
}

func parseSwitch(args []string) (bool, error) {
	switch {
	case len(args) == 0 || args[0] == "on":
		return true, nil
	case args[0] == "off":
		return false, nil
	}
	return false, fmt.Errorf("must be on or off, not %q", args[0])
}

// duration is a line of one duration within the given bounds, such as 90s or 30d.
func duration[T any](field func(*T) *caddy.Duration, within durations) line[T] {
	return line[T]{min: 1, max: 1, set: func(t *T, args []string) error {
		d, err := caddy.ParseDuration(args[0])
		if err != nil {
			return fmt.Errorf("%q is no duration, such as 90s or 30d", args[0])
		}
		*field(t) = caddy.Duration(d)
		return within.check(*field(t))
	}}
}

// size is a line of one number of bytes within the given bounds, such as 16KiB.
func size[T any](field func(*T) *int64, within sizes) line[T] {
	return line[T]{min: 1, max: 1, set: func(t *T, args []string) error {
		n, err := humanize.ParseBytes(args[0])
		if err != nil {
			return fmt.Errorf("%q is no size, such as 16KiB", args[0])
		}
		*field(t) = int64(min(n, 1<<62))
		return within.check(*field(t))
	}}
}
