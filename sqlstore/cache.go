package sqlstore

import (
	"maps"
	"sync"
)

// cache keeps what was used lately: at most two generations of limit entries.
// When the young generation is full it becomes the old one, and what was not
// asked for since is forgotten. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	limit      int
	young, old map[K]V
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, young: make(map[K]V)}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			c.add(k, v)
		}
	}
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, v)
}

func (c *cache[K, V]) add(k K, v V) {
	if len(c.young) >= c.limit {
		c.old, c.young = c.young, make(map[K]V)
	}
	c.young[k] = v
}

// removeIf forgets what which picks.
func (c *cache[K, V]) removeIf(which func(K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range []map[K]V{c.young, c.old} {
		maps.DeleteFunc(m, func(k K, _ V) bool { return which(k) })
	}
}
