package caddymodule

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// screen stands before an object encoder and lets nothing pass that has to stay
// out of logs. What it lets pass it hands over unchanged, so that an encoder behind it
// which looks at types still finds them.
//
// It decides by the name of a field and not by the type of the object around it. So it makes
// no difference whether a request is logged as Caddy does it, piece by piece through
// another encoder (`format filter { wrap byoa }`), or as the environment of a FastCGI server.
type screen struct{ zapcore.ObjectEncoder }

func (s screen) AddString(key, value string) {
	names := hiddenInLogs.Load()
	if kept, ok := names.text(names.ruleFor(key), value); ok {
		s.ObjectEncoder.AddString(key, kept)
	}
}

func (s screen) AddByteString(key string, value []byte) {
	names := hiddenInLogs.Load()
	if kept, ok := names.text(names.ruleFor(key), string(value)); ok {
		s.ObjectEncoder.AddByteString(key, []byte(kept))
	}
}

// AddBinary has no way to take something out of what is then shown in base64.
func (s screen) AddBinary(key string, value []byte) {
	if hiddenInLogs.Load().ruleFor(key) == ruleNone {
		s.ObjectEncoder.AddBinary(key, value)
	}
}

func (s screen) AddObject(key string, value zapcore.ObjectMarshaler) error {
	if hiddenInLogs.Load().ruleFor(key) == ruleDelete {
		return nil
	}
	return s.ObjectEncoder.AddObject(key, screenedObject{value})
}

func (s screen) AddArray(key string, value zapcore.ArrayMarshaler) error {
	names := hiddenInLogs.Load()
	r := names.ruleFor(key)
	if r == ruleDelete {
		return nil
	}
	lines, ok := value.(caddyhttp.LoggableStringArray)
	if !ok {
		return s.ObjectEncoder.AddArray(key, screenedArray{value, r})
	}
	kept, changed := names.lines(r, lines)
	switch {
	case !changed:
		return s.ObjectEncoder.AddArray(key, value)
	case len(kept) == 0:
		return nil
	default:
		return s.ObjectEncoder.AddArray(key, caddyhttp.LoggableStringArray(kept))
	}
}

// AddReflected also answers the question of [logProbe], which no line is written for.
func (s screen) AddReflected(key string, value any) error {
	switch v := value.(type) {
	case *guardMark:
		v.guarded = true
		return nil
	case *http.Request:
		if v != nil {
			return s.AddObject(key, caddyhttp.LoggableHTTPRequest{Request: v})
		}
	}
	names := hiddenInLogs.Load()
	kept, ok, err := names.reflected(names.ruleFor(key), value)
	if err != nil || !ok {
		return err
	}
	return s.ObjectEncoder.AddReflected(key, kept)
}

// screenedObject puts the screen before whatever the object adds, to any depth.
type screenedObject struct{ zapcore.ObjectMarshaler }

func (o screenedObject) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	return o.ObjectMarshaler.MarshalLogObject(screen{enc})
}

// screenedArray puts the screen before the elements of an array, which are treated
// by the rule for the array's name.
type screenedArray struct {
	zapcore.ArrayMarshaler
	rule fieldRule
}

func (a screenedArray) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	return a.ArrayMarshaler.MarshalLogArray(arrayScreen{enc, a.rule})
}

// arrayScreen is a [screen] for the elements of an array.
type arrayScreen struct {
	zapcore.ArrayEncoder
	rule fieldRule
}

func (s arrayScreen) AppendString(value string) {
	if kept, ok := hiddenInLogs.Load().text(s.rule, value); ok {
		s.ArrayEncoder.AppendString(kept)
	}
}

func (s arrayScreen) AppendByteString(value []byte) {
	if kept, ok := hiddenInLogs.Load().text(s.rule, string(value)); ok {
		s.ArrayEncoder.AppendByteString([]byte(kept))
	}
}

func (s arrayScreen) AppendObject(value zapcore.ObjectMarshaler) error {
	return s.ArrayEncoder.AppendObject(screenedObject{value})
}

func (s arrayScreen) AppendArray(value zapcore.ArrayMarshaler) error {
	return s.ArrayEncoder.AppendArray(screenedArray{value, s.rule})
}

func (s arrayScreen) AppendReflected(value any) error {
	if r, ok := value.(*http.Request); ok && r != nil {
		return s.AppendObject(caddyhttp.LoggableHTTPRequest{Request: r})
	}
	kept, ok, err := hiddenInLogs.Load().reflected(s.rule, value)
	if err != nil || !ok {
		return err
	}
	return s.ArrayEncoder.AppendReflected(kept)
}

// screenFields returns fields, with the screen before those that need it. The
// caller's slice is not written to: other logs get the same one.
func (n *hiddenNames) screenFields(fields []zapcore.Field) []zapcore.Field {
	screened, copied := fields, false
	for i := range fields {
		if !n.concerns(&fields[i]) {
			continue
		}
		if !copied {
			screened, copied = slices.Clone(fields), true
		}
		screened[i] = zap.Inline(screenedField(fields[i]))
	}
	return screened
}

// concerns is whether a field may hold what has to stay out. Most fields of most
// lines do not, and cost nothing more than this look.
func (n *hiddenNames) concerns(f *zapcore.Field) bool {
	switch f.Type {
	case zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType, zapcore.ArrayMarshalerType, zapcore.ReflectType:
		return true
	case zapcore.StringType:
		return n.ruleFor(f.Key) != ruleNone || n.mayHoldQuery(f.String)
	case zapcore.ErrorType:
		return n.ruleFor(f.Key) != ruleNone || len(n.query) > 0 && n.mayTellQuery(f.Interface)
	case zapcore.ByteStringType, zapcore.StringerType:
		return n.ruleFor(f.Key) != ruleNone || len(n.query) > 0
	case zapcore.BinaryType:
		return n.ruleFor(f.Key) != ruleNone
	default:
		return false
	}
}

// mayTellQuery is mayHoldQuery for the text of an error. Where zap would print more than
// that text, and where Error panics, which zap catches, the answer is yes.
func (n *hiddenNames) mayTellQuery(failure any) (may bool) {
	defer func() {
		if recover() != nil {
			may = true
		}
	}()
	switch failure := failure.(type) {
	case fmt.Formatter, interface{ Errors() []error }:
		return true
	case error:
		return n.mayHoldQuery(failure.Error())
	default:
		return true
	}
}

// screenedField adds a field through the screen.
type screenedField zapcore.Field

func (f screenedField) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	zapcore.Field(f).AddTo(screen{enc})
	return nil
}
