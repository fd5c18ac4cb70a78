package caddymodule

// PoolReferences says how many configs hold each thing in the pool.
func PoolReferences() map[string]int {
	var keys []any
	pool.Range(func(key, _ any) bool { keys = append(keys, key); return true })
	held := make(map[string]int, len(keys))
	for _, key := range keys {
		if n, ok := pool.References(key); ok {
			held[key.(string)] = n
		}
	}
	return held
}

// EnvironmentsInForce are the names of the environments of the config in force.
func EnvironmentsInForce() []string {
	if app := running.app(); app != nil {
		return app.names()
	}
	return nil
}

// Lingering is how many configs were cleaned up a moment ago.
func Lingering() int {
	lingerers.mu.Lock()
	defer lingerers.mu.Unlock()
	return len(lingerers.leases)
}
