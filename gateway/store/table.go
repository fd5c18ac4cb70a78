package store

import (
	"container/heap"
	"strings"
)

// A table holds entries in memory until they are swept. It does not lock.
type table[V any] struct {
	entries map[string]entry[V]
	queue   queue   // one item for every entry, never later than the entry's own until
	swept   instant // the latest until of all entries that sweep has dropped
}

type entry[V any] struct {
	value V
	until instant
}

func newTable[V any]() table[V] {
	return table[V]{entries: make(map[string]entry[V])}
}

// get returns what is held under key, unless its time has passed.
func (t *table[V]) get(key string, now instant) (entry[V], bool) {
	e, ok := t.entries[key]
	return e, ok && e.until.after(now)
}

// put holds e under key. It refuses a new key where it holds as many as there is room for.
func (t *table[V]) put(key string, e entry[V], room int) error {
	_, held := t.entries[key]
	if !held {
		if err := t.fits(room); err != nil {
			return err
		}
	}
	key = strings.Clone(key) // it may be a part of something large, and takes the place of an equal one
	t.entries[key] = e
	if !held {
		// From then on the item in the queue stays as it is, and sweep moves it when its
		// turn comes. So the queue never outgrows the entries, however often one is prolonged.
		heap.Push(&t.queue, queued{key, e.until})
	}
	return nil
}

// fits returns nil, or that a new key is one too many for room.
func (t *table[V]) fits(room int) error {
	if len(t.entries) >= room {
		return full(uint64(len(t.entries)))
	}
	return nil
}

// sweep drops up to limit entries whose time has passed.
func (t *table[V]) sweep(now instant, limit int) { t.drop(t.takeDue(now, limit, "")) }

// takeDue takes up to limit entries whose time has passed out of the queue, the first to
// expire first, for drop or putBack. It passes over the one that is to be spared.
func (t *table[V]) takeDue(now instant, limit int, spared string) (due []queued) {
	var passed []queued
	for len(due) < limit && len(t.queue) > 0 && !t.queue[0].until.after(now) {
		first := &t.queue[0]
		switch until := t.entries[first.key].until; {
		case until.after(first.until):
			first.until = until
			heap.Fix(&t.queue, 0)
		case first.key == spared:
			passed = append(passed, heap.Pop(&t.queue).(queued))
		default:
			due = append(due, heap.Pop(&t.queue).(queued))
		}
	}
	t.putBack(passed)
	return due
}

func (t *table[V]) putBack(due []queued) {
	for _, item := range due {
		heap.Push(&t.queue, item)
	}
}

func (t *table[V]) drop(due []queued) {
	for _, item := range due {
		delete(t.entries, item.key)
		t.swept = later(t.swept, item.until)
	}
}

// A queue is a heap of keys, the next to expire first.
type queue []queued

type queued struct {
	key   string
	until instant
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[j].until.after(q[i].until) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(queued)) }

func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	(*q)[last] = queued{} // lets go of the key
	*q = (*q)[:last]
	return x
}
