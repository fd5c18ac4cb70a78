package caddymodule

import "testing"

// Whoever can cause events must not fill the memory while a handler hangs.
func TestEventsThatWaitAreBounded(t *testing.T) {
	e := new(emitter) // it is not open, so nothing is delivered
	for i := range eventsWaiting + 44 {
		e.emit(eventReplayDetected, map[string]any{"n": i})
	}
	if len(e.waiting) != eventsWaiting || e.dropped != 44 {
		t.Errorf("%d events wait and %d were dropped, want %d and 44", len(e.waiting), e.dropped, eventsWaiting)
	}
	if next, dropped, ok := e.next(); !ok || dropped != 44 || next.data["n"] != 0 {
		t.Errorf("the next event is %v after %d were dropped, want the first one and 44", next, dropped)
	}
}
