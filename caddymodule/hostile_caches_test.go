package caddymodule

import "testing"

// What configs share is found by its key alone. Where the keys of two things meet, one
// config works with the memory, the keys or the key ring of another. (Kong: its cache keys
// collided where two settings held one URL.)
func TestWhatTwoConfigsMeanNeverMeetsInOneKey(t *testing.T) {
	seen := make(map[string][]string)
	for _, parts := range [][]string{
		{"a", "bc"},
		{"ab", "c"},
		{"abc"},
		{"abc", ""},
		{"", "abc"},
		{"bc", "a"},
		{"A", "bc"},
		{"a\x00bc"},
		{"a", "\x00\x00\x00\x00\x00\x00\x00\x02bc"},
		{"a\x00\x00\x00\x00\x00\x00\x00\x02bc"},
		{},
		{""},
	} {
		key := hashed(parts...)
		if other, met := seen[key]; met {
			t.Errorf("%q and %q have one key", parts, other)
		}
		seen[key] = parts
		if again := hashed(parts...); again != key {
			t.Errorf("%q has two keys, so that nothing would be shared", parts)
		}
	}
}
