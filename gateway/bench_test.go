package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// BenchmarkAuthenticate measures a credential that is remembered, from one caller
// and from as many as there are processors: a hash of the token, a look-up, and the three questions that a hit is asked.
func BenchmarkAuthenticate(b *testing.B) {
	issuer := verifiertest.NewIssuer(b)
	env := benchEnvironment(b, issuer)
	token := issuer.Token(map[string]any{"aud": audience, "email": "a@example.com"})
	remember(b, env, token)
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := env.Authenticate(context.Background(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered-parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := env.Authenticate(context.Background(), token); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func benchEnvironment(b *testing.B, issuer *verifiertest.Issuer) *gateway.Environment {
	b.Helper()
	memory, err := store.NewCache(64 << 20)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = memory.Close() })
	cfg := gatewaytest.NewConfig(b, issuer, nil)
	cfg.Memory = memory
	env, err := gateway.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return env
}

// remember authenticates until the memory, which takes entries up in its own time, has the token.
func remember(b *testing.B, env *gateway.Environment, token string) {
	b.Helper()
	first, err := env.Authenticate(context.Background(), token)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err != nil {
			b.Fatal(err)
		}
		s, again := env.Authenticate(context.Background(), token)
		if s == first {
			return
		}
		first, err = s, again
		time.Sleep(time.Millisecond)
	}
	b.Fatal("the memory did not take the token up")
}
