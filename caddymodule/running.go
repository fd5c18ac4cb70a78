package caddymodule

import "sync"

// running is the app whose config is in force: what the admin API, and events about
// things that outlive a config, may look at.
//
// An admin route must not hold the app that it was provisioned beside: Caddy keeps
// serving it after that app's config was refused. And a config whose byoa app has
// started may still be refused, because another app of it cannot start; then the one
// before it is in force again.
var running inForce

// inForce is a stack of the apps that have started and were not stopped.
type inForce struct {
	mu   sync.Mutex // guards apps
	apps []*App     // the last one is in force
}

// push puts a into force.
func (f *inForce) push(a *App) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apps = append(f.apps, a)
}

// remove takes a away, wherever it stands. It does nothing where a is not there.
func (f *inForce) remove(a *App) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, b := range f.apps {
		if a == b {
			f.apps = append(f.apps[:i:i], f.apps[i+1:]...)
			return
		}
	}
}

// app is the one in force, or nil.
func (f *inForce) app() *App {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.top()
}

// top needs mu.
func (f *inForce) top() *App {
	if len(f.apps) == 0 {
		return nil
	}
	return f.apps[len(f.apps)-1]
}

// enter is the one in force, or nil, with a part in its lease as a request has: whatever
// it has open stays open until leave is called, even if it is not in force any more. An
// app is taken away before its lease is released.
func (f *inForce) enter() (a *App, leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a = f.top()
	if a == nil {
		return nil, func() {}
	}
	a.lease.enter()
	return a, a.lease.leave
}
