package caddymodule

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// unguardedLoggers are those of the named loggers whose lines reach some log without
// `format byoa`. Nothing is written to any log to find out. A log of which it cannot be told,
// because its core is not one of Caddy's or zap's, counts as one without.
func unguardedLoggers(ctx caddy.Context, loggerNames []string) []string {
	var unguarded []string
	for _, name := range loggerNames {
		core := ctx.Logger(loggerOwner(name)).Core()
		if !guards(core, name) {
			unguarded = append(unguarded, name)
		}
	}
	return unguarded
}

// loggerOwner is a module in name only: the one that makes the logger. Caddy chooses the
// logs of a logger by its module, and those of `http.log.access.x` by the app `http`.
type loggerOwner string

func (o loggerOwner) CaddyModule() caddy.ModuleInfo {
	id := string(o)
	if strings.HasPrefix(id, "http.log.") {
		id = "http"
	}
	return caddy.ModuleInfo{ID: caddy.ModuleID(id), New: func() caddy.Module { return o }}
}

// guards is whether every log that takes a line of the logger has the encoder. Asking
// writes nothing, but it counts as one line for a log with sampling; the message keeps apart
// what is asked for different loggers, so that each is the first of its kind.
func guards(core zapcore.Core, logger string) bool {
	line := zapcore.Entry{
		LoggerName: logger, Level: lineLevel(logger), Time: time.Now(), Message: "asking for format byoa: " + logger,
	}
	for _, log := range branches(core) {
		if log.Check(line, nil) == nil {
			continue // include, exclude or level keep such lines out of this log
		}
		for _, leaf := range leaves(log) {
			if !encodesGuarded(leaf) {
				return false
			}
		}
	}
	return true
}

// lineLevel is the highest level at which a logger writes requests.
func lineLevel(logger string) zapcore.Level {
	switch logger {
	case "http.handlers.rewrite", "http.handlers.push":
		return zapcore.DebugLevel
	default:
		return zapcore.ErrorLevel
	}
}

var (
	coreType    = reflect.TypeFor[zapcore.Core]()
	writerType  = reflect.TypeOf(zapcore.NewCore(nil, nil, nil))
	coreSources = []string{coreType.PkgPath(), reflect.TypeFor[caddy.CustomLog]().PkgPath()}
)

// branches takes a tee apart. zap does not export the type: it is a slice of cores.
func branches(core zapcore.Core) []zapcore.Core {
	v := reflect.ValueOf(core)
	if v.Kind() != reflect.Slice || v.Type().Elem() != coreType {
		return []zapcore.Core{core}
	}
	var all []zapcore.Core
	for i := range v.Len() {
		all = append(all, branches(v.Index(i).Interface().(zapcore.Core))...)
	}
	return all
}

// leaves are the cores that do the writing: also those inside Caddy's filters and zap's
// samplers, which embed the core that they stand before.
func leaves(core zapcore.Core) []zapcore.Core {
	var all []zapcore.Core
	for _, branch := range branches(core) {
		if inner, ok := embedded(branch); ok {
			all = append(all, leaves(inner)...)
		} else {
			all = append(all, branch)
		}
	}
	return all
}

func embedded(core zapcore.Core) (zapcore.Core, bool) {
	v := reflect.Indirect(reflect.ValueOf(core))
	if v.Kind() != reflect.Struct || !slices.Contains(coreSources, v.Type().PkgPath()) {
		return nil, false
	}
	field := v.FieldByName("Core")
	if !field.IsValid() || field.Type() != coreType {
		return nil, false
	}
	inner, ok := field.Interface().(zapcore.Core)
	return inner, ok
}

// encodesGuarded is whether a core does nothing but encode lines and write them, and its
// encoder is ours or hands what it gets to ours. What another core does beside, nobody can tell.
func encodesGuarded(core zapcore.Core) bool {
	if reflect.TypeOf(core) != writerType {
		return false
	}
	var probe logProbe
	core.With([]zapcore.Field{zap.Inline(&probe)})
	return probe.guarded > 0 && probe.bare == 0
}

// logProbe asks each encoder that it is added to whether it is guarded. Cores add the
// fields of With to a copy of their encoder and write none of it.
type logProbe struct{ guarded, bare int }

func (p *logProbe) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	mark := new(guardMark)
	if err := enc.AddReflected("format_byoa", mark); err == nil && mark.guarded {
		p.guarded++
	} else {
		p.bare++
	}
	return nil
}

// guardMark is set by [screen] and by nothing else.
type guardMark struct{ guarded bool }
