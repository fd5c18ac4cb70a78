package caddymodule

import "testing"

// What an operator has done must be done to the end, while another config comes into force.
func TestWhatIsInForceIsHeldOpenWhileSomebodyActs(t *testing.T) {
	var force inForce
	first, second := &App{lease: new(lease)}, &App{lease: new(lease)}
	force.push(first)
	app, leave := force.enter()
	if app != first {
		t.Fatal("the app that started is not in force")
	}
	force.push(second)
	force.remove(first)
	if err := first.lease.release(); err != nil {
		t.Fatal(err)
	}
	if first.lease.ended() {
		t.Error("what the action works with was let go of under it")
	}
	if leave(); !first.lease.ended() {
		t.Error("nothing was let go of after the action")
	}
	if app, leave := force.enter(); app != second {
		t.Error("the second app is not in force")
	} else {
		leave()
	}
	force.remove(second)
	if app, leave := force.enter(); app != nil {
		t.Error("an app is in force that was stopped")
	} else {
		leave()
	}
}
