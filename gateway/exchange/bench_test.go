package exchange_test

import "testing"

func BenchmarkLocal(b *testing.B) {
	for _, alg := range algorithms {
		with := newHouse(b, alg)
		want := with.want(with.external(nil))
		s := with.signIn(want.External)
		b.Run("SignIn/"+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := with.local.SignIn(b.Context(), "", want); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("OpenSession/"+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := with.local.OpenSession(b.Context(), s.Token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
