package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"
)

// keySetGauges show, at the time of the scrape, the key sets of the config in force. A
// provider that is gone from the config is gone from the metrics.
type keySetGauges struct{}

var (
	jwksKeys = prometheus.NewDesc(namespace+"_jwks_keys",
		"Usable keys of a provider; 0 where there are none that are young enough.", []string{"environment", "provider"}, nil)
	jwksAge = prometheus.NewDesc(namespace+"_jwks_age_seconds",
		"Time since a provider's keys were last fetched; absent where they never were.", []string{"environment", "provider"}, nil)
)

// Describe implements [prometheus.Collector].
func (keySetGauges) Describe(descs chan<- *prometheus.Desc) {
	descs <- jwksKeys
	descs <- jwksAge
}

// Collect implements [prometheus.Collector].
func (keySetGauges) Collect(out chan<- prometheus.Metric) {
	app := running.app()
	if app == nil {
		return
	}
	for name, l := range app.live {
		if _, err := l.gateway(); err != nil { // an app in force has opened all of its environments
			continue
		}
		for _, provider := range l.providers {
			collectKeySet(out, name, provider)
		}
	}
}

func collectKeySet(out chan<- prometheus.Metric, environment string, p *trusted) {
	status := p.keys.Status()
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, environment, p.config.Issuer)
	}
	gauge(jwksKeys, float64(status.Keys))
	if !status.Fetched.IsZero() {
		gauge(jwksAge, status.Age.Seconds())
	}
}

// Interface guard
var _ prometheus.Collector = keySetGauges{}
