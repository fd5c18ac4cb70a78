package caddymodule

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// metrics count for the life of the process: each config registers the same ones, so
// they go on counting through reloads.
//
// Every label is one of ours or the operator's: the names of environments, issuers,
// modules, and scopes that some route needs, and the codes of refusals. Nothing that a
// client can choose is a label, or their number could grow without end.
var metrics = newCollectors()

// collectors are all there are.
type collectors struct {
	verifications   *prometheus.CounterVec
	verifySeconds   *prometheus.HistogramVec
	exchanges       *prometheus.CounterVec
	exchangeSeconds *prometheus.HistogramVec
	stepUps         *prometheus.CounterVec
	replays         *prometheus.CounterVec
	refreshes       *prometheus.CounterVec
	cacheRequests   *prometheus.CounterVec
	storeSeconds    *prometheus.HistogramVec
	keySets         keySetGauges
}

// seconds reach from one signature to what a slow remote server may take.
var seconds = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newCollectors() *collectors {
	return &collectors{
		verifications: counter("verifications_total", "External JWTs, session tokens and assertions that were verified; what is remembered is not verified again.",
			"environment", "result"),
		verifySeconds: histogram("verify_duration_seconds", "How long verifying an external JWT, a session token or an assertion took, with fetching its key where that was unknown.",
			"environment"),
		exchanges: counter("exchanges_total", "Exchanges of an external JWT for a session token, and of an assertion for an elevated one.",
			"environment", "exchanger", "result"),
		exchangeSeconds: histogram("exchange_duration_seconds", "How long the exchanger took for a session token.",
			"environment", "exchanger"),
		stepUps: counter("step_up_total", "Requests that were held against what their route needs, once for each needed scope; those that only need a session are not counted.",
			"environment", "scope", "result"),
		replays: counter("replays_total", "Assertions and single-use elevated tokens that were presented once more.",
			"environment"),
		refreshes: counter("jwks_refreshes_total", "Attempts to fetch a provider's keys.",
			"environment", "provider", "result"),
		cacheRequests: counter("cache_requests_total", "Look-ups of a credential among the remembered ones.",
			"cache", "result"),
		storeSeconds: histogram("store_duration_seconds", "How long the store took for what it does not answer from memory.",
			"store", "operation"),
	}
}

const namespace = "caddy_byoa"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: seconds}, labels)
}

// register makes the metrics part of a config's, and so of what its `/metrics` shows.
func (c *collectors) register(registry *prometheus.Registry) error {
	for _, collector := range []prometheus.Collector{
		c.verifications, c.verifySeconds, c.exchanges, c.exchangeSeconds, c.stepUps,
		c.replays, c.refreshes, c.cacheRequests, c.storeSeconds, c.keySets,
	} {
		err := registry.Register(collector)
		if already := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &already) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// environmentMetrics are those of one environment. What is counted for every request
// was looked up beforehand.
type environmentMetrics struct {
	all                    *collectors
	environment, exchanger string

	hit, miss                      prometheus.Counter
	verified                       prometheus.Counter
	verifySeconds, exchangeSeconds prometheus.Observer
	replays                        prometheus.Counter
}

// rememberedTokens is the one cache there is.
const rememberedTokens = "tokens"

func (c *collectors) of(environment, exchanger string) *environmentMetrics {
	return &environmentMetrics{
		all:             c,
		environment:     environment,
		exchanger:       exchanger,
		hit:             c.cacheRequests.WithLabelValues(rememberedTokens, "hit"),
		miss:            c.cacheRequests.WithLabelValues(rememberedTokens, "miss"),
		verified:        c.verifications.WithLabelValues(environment, resultOK),
		verifySeconds:   c.verifySeconds.WithLabelValues(environment),
		exchangeSeconds: c.exchangeSeconds.WithLabelValues(environment, exchanger),
		replays:         c.replays.WithLabelValues(environment),
	}
}

func (m *environmentMetrics) count(e gateway.Event) {
	switch e.Kind {
	case gateway.EventMemory:
		m.countMemory(e)
	case gateway.EventVerify:
		m.countVerification(e)
	case gateway.EventExchange:
		m.all.exchanges.WithLabelValues(m.environment, m.exchanger, resultOf(e.Err)).Inc()
		m.exchangeSeconds.Observe(e.Took.Seconds())
	case gateway.EventElevate:
		m.all.exchanges.WithLabelValues(m.environment, m.exchanger, resultOf(e.Err)).Inc()
	case gateway.EventStepUp:
		m.countStepUp(e)
	default: // the audit log tells of the rest
	}
	if isReplay(e) {
		m.replays.Inc()
	}
}

func (m *environmentMetrics) countMemory(e gateway.Event) {
	if e.Code == "" {
		m.hit.Inc()
	} else {
		m.miss.Inc()
	}
}

func (m *environmentMetrics) countVerification(e gateway.Event) {
	m.verifySeconds.Observe(e.Took.Seconds())
	if e.Err == nil {
		m.verified.Inc()
		return
	}
	m.all.verifications.WithLabelValues(m.environment, resultOf(e.Err)).Inc()
}

// countStepUp counts by the scopes that the route needs, never by those that a client
// brought. What is refused for another reason than a scope has an empty one.
func (m *environmentMetrics) countStepUp(e gateway.Event) {
	scopes := e.Scopes.Names()
	if len(scopes) == 0 {
		scopes = []string{""}
	}
	for _, scope := range scopes {
		m.all.stepUps.WithLabelValues(m.environment, scope, resultOf(e.Err)).Inc()
	}
}

// countRefresh counts an attempt to fetch the keys of a provider.
func (c *collectors) countRefresh(environment, provider string, err error) {
	result := resultOK
	if err != nil {
		result = "error"
	}
	c.refreshes.WithLabelValues(environment, provider, result).Inc()
}
