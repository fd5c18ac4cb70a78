package store

import (
	"fmt"
	"strings"
	"sync"
)

// links answers from memory who has linked an identity.
type links struct {
	mu    sync.RWMutex // guards users
	users map[string]string
}

func newLinks() *links { return &links{users: make(map[string]string)} }

// owner returns whose an identity is: its own ID where it was linked to nobody.
func (l *links) owner(identity string) string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if id, linked := l.users[identity]; linked {
		return id
	}
	return identity
}

// ask is owner for whoever may ask anything.
func (l *links) ask(identity string) (string, error) {
	if err := checkKey(identity); err != nil {
		return "", fmt.Errorf("asking for the owner of an identity: %w", err)
	}
	return l.owner(identity), nil
}

// learn holds whose an identity is, which changes nothing where that is held already.
func (l *links) learn(identity, id string) {
	if l.owner(identity) == id {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users[strings.Clone(identity)] = strings.Clone(id) // they may be parts of something large
}

func (l *links) count() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.users)
}
