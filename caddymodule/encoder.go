package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

func init() {
	caddy.RegisterModule(LogEncoder{})
}

// LogEncoder takes the tokens of requests and responses out of log lines before
// another encoder writes them. It deletes the headers of step-up, and every header, cookie
// and query parameter that an environment or a handler was configured to carry tokens in.
// Other headers, cookies and parameters stay as they came.
//
// Caddy keeps a copy of each request for its logs before any handler runs, so that
// what a handler removes from the request is still logged. Use this encoder for every log that
// receives access logs, error logs or the debug lines of `reverse_proxy`.
//
// It goes by names. A token that was put into a field of another name on purpose,
// as with `log_append`, is not recognized there.
type LogEncoder struct {
	// The encoder that writes what is left. Default: `json`, or `console` if the
	// log goes to a terminal.
	WrappedRaw json.RawMessage `json:"wrap,omitempty" caddy:"namespace=caddy.logging.encoders inline_key=format"`

	// takes the fields that a logger carries with it (zap's With)
	screen `json:"-"`

	wrapped zapcore.Encoder
	ctx     caddy.Context
}

// CaddyModule returns the Caddy module information.
func (LogEncoder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.logging.encoders.byoa",
		New: func() caddy.Module { return new(LogEncoder) },
	}
}

// Provision loads the encoder to wrap.
func (e *LogEncoder) Provision(ctx caddy.Context) error {
	e.ctx = ctx
	if e.WrappedRaw == nil {
		return e.wrapDefault(new(logging.JSONEncoder))
	}
	mod, err := ctx.LoadModule(e, "WrappedRaw")
	if err != nil {
		return fmt.Errorf("loading the encoder that format byoa wraps: %w", err)
	}
	wrapped, ok := mod.(zapcore.Encoder)
	if !ok {
		return fmt.Errorf("format byoa cannot wrap %T: it is no log encoder", mod)
	}
	e.wrap(wrapped)
	return nil
}

// ConfigureDefaultFormat makes console the default where the log goes to a terminal,
// as Caddy does for a log without a format, and passes the question on to an encoder that was chosen.
func (e *LogEncoder) ConfigureDefaultFormat(wo caddy.WriterOpener) error {
	if e.WrappedRaw != nil {
		if inner, ok := e.wrapped.(caddy.ConfiguresFormatterDefault); ok {
			return inner.ConfigureDefaultFormat(wo)
		}
		return nil
	}
	if caddy.IsWriterStandardStream(wo) && term.IsTerminal(int(os.Stderr.Fd())) {
		return e.wrapDefault(new(logging.ConsoleEncoder))
	}
	return nil
}

// wrapDefault wraps one of Caddy's own encoders, which no config provisions.
func (e *LogEncoder) wrapDefault(enc interface {
	zapcore.Encoder
	caddy.Provisioner
},
) error {
	if err := enc.Provision(e.ctx); err != nil {
		return fmt.Errorf("provisioning the default encoder of format byoa: %w", err)
	}
	e.wrap(enc)
	return nil
}

func (e *LogEncoder) wrap(enc zapcore.Encoder) {
	e.wrapped, e.screen = enc, screen{enc}
}

// Clone returns an encoder that can be added to without changing this one.
func (e *LogEncoder) Clone() zapcore.Encoder {
	clone := new(LogEncoder)
	clone.wrap(e.wrapped.Clone())
	return clone
}

// EncodeEntry writes a line without what has to stay out of it. Fields that hold
// nothing of the kind reach the wrapped encoder as they are.
func (e *LogEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	names := hiddenInLogs.Load()
	entry.Message = names.withoutQuery(entry.Message)
	return e.wrapped.EncodeEntry(entry, names.screenFields(fields))
}

// UnmarshalCaddyfile sets up the encoder from Caddyfile tokens. Syntax:
//
//	byoa {
//	    wrap <another encoder>
//	}
func (e *LogEncoder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume encoder name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if d.Val() != "wrap" {
			return d.Errf("unrecognized subdirective %s: format byoa has only wrap", d.Val())
		}
		if err := e.unmarshalWrap(d); err != nil {
			return err
		}
	}
	return nil
}

func (e *LogEncoder) unmarshalWrap(d *caddyfile.Dispenser) error {
	if e.WrappedRaw != nil {
		return d.Err("wrap specified more than once")
	}
	if !d.NextArg() {
		return d.ArgErr()
	}
	name := d.Val()
	mod, err := caddyfile.UnmarshalModule(d, "caddy.logging.encoders."+name)
	if err != nil {
		return err
	}
	if _, ok := mod.(zapcore.Encoder); !ok {
		return d.Errf("%s (%T) is no log encoder", name, mod)
	}
	e.WrappedRaw = caddyconfig.JSONModuleObject(mod, "format", name, nil)
	return nil
}

// Interface guards
var (
	_ zapcore.Encoder                  = (*LogEncoder)(nil)
	_ caddy.Provisioner                = (*LogEncoder)(nil)
	_ caddy.ConfiguresFormatterDefault = (*LogEncoder)(nil)
	_ caddyfile.Unmarshaler            = (*LogEncoder)(nil)
)
