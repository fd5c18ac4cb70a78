package caddymodule

import (
	"errors"

	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// refreshes tells how fetching the keys of one provider goes. It outlives the config that
// opened the key set.
type refreshes struct {
	environment, provider string
	file                  bool // they are read from a file

	fetching, keeping failing
}

// report is for Refreshed of a key set.
func (r *refreshes) report(keys int, err error) {
	if errors.Is(err, verifier.ErrSnapshot) {
		r.notKept(err)
		return
	}
	metrics.countRefresh(r.environment, r.provider, err)
	if err == nil {
		r.fetched(keys)
		return
	}
	r.notFetched(keys, err)
	emit(eventJWKSRefreshFailed, map[string]any{
		"environment": r.environment, "provider": r.provider, "keys": keys, "error": err.Error(),
	})
}

func (r *refreshes) fetched(keys int) {
	log := r.log().With(zap.Int("keys", keys))
	if lasted, was := r.fetching.recovered(); was {
		log.Info("the issuer's keys are here again: nothing is left to do", zap.Duration("after", lasted))
		return
	}
	log.Debug("fetched the issuer's keys")
}

func (r *refreshes) notFetched(keys int, err error) {
	if tell, keptBack := r.fetching.failed(err); tell {
		r.log().Error(r.advice(keys), zap.Int("keys", keys), zap.Int("same_before", keptBack), zap.Error(err))
	}
}

func (r *refreshes) advice(keys int) string {
	switch {
	case r.file:
		return "the issuer's keys cannot be read from jwks_file, and those that were read last go on serving: see that the file can be read and holds a JWKS"
	case keys > 0:
		return "the issuer's keys cannot be fetched, and the last ones serve for up to a day after they were: " +
			"see that this machine reaches the login system, and that what it answers is as the error says it should be"
	default:
		return "the issuer's keys cannot be fetched and there are none, so its users are refused with keys_unavailable: " +
			"see that this machine reaches the login system, and that what it answers is as the error says it should be"
	}
}

// notKept is about the copy for the next start.
func (r *refreshes) notKept(err error) {
	if tell, keptBack := r.keeping.failed(err); tell {
		r.log().Warn("the issuer's keys cannot be kept for the next start, which will then need the issuer: "+
			"see that Caddy's storage can be read and written", zap.Int("same_before", keptBack), zap.Error(err))
	}
}

func (r *refreshes) log() *zap.Logger {
	return logOf(r.environment).With(zap.String("issuer", r.provider))
}
