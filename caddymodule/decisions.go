package caddymodule

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// A decision is what the audit log tells, in the form in which the admin API shows it.
type decision struct {
	Time       time.Time `json:"time"`
	Decision   string    `json:"decision"` // exchange, link, elevate, step_up, revoke, refusal, disable, enable
	Result     string    `json:"result"`   // ok, or the code of the refusal
	UserID     string    `json:"user,omitempty"`
	ExternalID string    `json:"external_id,omitempty"`
	Session    string    `json:"session,omitempty"`
	JTI        string    `json:"jti,omitempty"`
	Scopes     []string  `json:"scopes,omitempty"`
	ClientIP   string    `json:"client_ip,omitempty"`
	Method     string    `json:"method,omitempty"`
	Path       string    `json:"path,omitempty"`
	Reason     string    `json:"reason,omitempty"`      // in words
	ReportOnly bool      `json:"report_only,omitempty"` // it would have been refused
}

const (
	decisionsKept    = 200 // of one environment
	environmentsKept = 64
	textKept         = 256 // bytes of a text that a client chose
	scopesKept       = 16
)

// decisions are the latest of each environment, for whoever looks at what is going on
// now: the audit log is the record. They survive reloads, and are gone after a restart.
var decisions = decisionLog{environments: make(map[string]*latest)}

// decisionLog is bounded in every direction in which a client or a reload could make it grow.
type decisionLog struct {
	mu           sync.Mutex         // guards all below
	environments map[string]*latest // by their IDs
}

// latest is a ring.
type latest struct {
	ring []decision
	next int // where the oldest stands once the ring is full
	last time.Time
}

// recentDecisions are what the audit log told of an environment lately, the newest first.
func recentDecisions(environmentID string) []decision {
	return decisions.of(environmentID)
}

func (l *decisionLog) of(environmentID string) []decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.environments[environmentID]
	if e == nil {
		return []decision{}
	}
	all := slices.Concat(e.ring[e.next:], e.ring[:e.next])
	slices.Reverse(all)
	return all
}

func (l *decisionLog) add(environmentID string, d decision) {
	d.shorten()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.environments[environmentID]
	if e == nil {
		if len(l.environments) >= environmentsKept {
			l.forgetOne()
		}
		e = new(latest)
		l.environments[environmentID] = e
	}
	e.add(d)
}

// forgetOne makes room: the environment goes of which nothing was heard for longest. It needs mu.
func (l *decisionLog) forgetOne() {
	var oldest string
	for id, e := range l.environments {
		if o := l.environments[oldest]; o == nil || e.last.Before(o.last) {
			oldest = id
		}
	}
	delete(l.environments, oldest)
}

func (e *latest) add(d decision) {
	e.last = d.Time
	if len(e.ring) < decisionsKept {
		e.ring = append(e.ring, d)
		return
	}
	e.ring[e.next] = d
	e.next = (e.next + 1) % decisionsKept
}

// shorten cuts what a client chose, and copies it: a part of a request's URI would keep
// all of it in memory, with whatever stands in the query.
func (d *decision) shorten() {
	for _, text := range []*string{&d.UserID, &d.ExternalID, &d.Session, &d.JTI, &d.ClientIP, &d.Method, &d.Path, &d.Reason} {
		*text = shortened(*text)
	}
	kept := make([]string, 0, min(len(d.Scopes), scopesKept))
	for _, scope := range d.Scopes[:min(len(d.Scopes), scopesKept)] {
		kept = append(kept, shortened(scope))
	}
	d.Scopes = kept
}

func shortened(text string) string {
	if len(text) <= textKept {
		return strings.Clone(text)
	}
	return strings.ToValidUTF8(text[:textKept], "") + "…"
}
