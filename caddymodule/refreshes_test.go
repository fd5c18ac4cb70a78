package caddymodule

import (
	"errors"
	"fmt"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A storage that is down is no issuer that is down: it must not wake up whoever watches that one.
func TestSnapshotThatCannotBeKeptIsNoFailedFetch(t *testing.T) {
	r := &refreshes{environment: t.Name(), provider: "https://auth.example.com"}
	failed := metrics.refreshes.WithLabelValues(t.Name(), r.provider, "error")
	for _, c := range []struct {
		err  error
		want float64
	}{
		{nil, 0},
		{fmt.Errorf("saving %w: disk full", verifier.ErrSnapshot), 0},
		{errors.New("fetching keys: no answer"), 1},
	} {
		r.report(1, c.err)
		var m dto.Metric
		if err := failed.Write(&m); err != nil {
			t.Fatal(err)
		}
		if got := m.GetCounter().GetValue(); got != c.want {
			t.Errorf("after %v %v failed fetches are counted, want %v", c.err, got, c.want)
		}
	}
}
