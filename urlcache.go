package webhook

import (
	"hash/maphash"
	"net/url"
	"sync/atomic"
)

// urlCache keeps checked URLs, so that a busy endpoint's is not parsed at each
// attempt. A string has one place; whatever comes there next takes it over, so
// the cache needs neither lock nor sweep and never grows. The URLs are shared
// and must not be changed.
type urlCache struct {
	seed  maphash.Seed
	slots [1024]atomic.Pointer[cachedURL]
}

type cachedURL struct {
	raw    string
	parsed *url.URL
}

func newURLCache() *urlCache { return &urlCache{seed: maphash.MakeSeed()} }

func (c *urlCache) slot(raw string) *atomic.Pointer[cachedURL] {
	return &c.slots[maphash.String(c.seed, raw)%uint64(len(c.slots))]
}

func (c *urlCache) get(raw string) *url.URL {
	if e := c.slot(raw).Load(); e != nil && e.raw == raw {
		return e.parsed
	}
	return nil
}

func (c *urlCache) put(raw string, parsed *url.URL) {
	c.slot(raw).Store(&cachedURL{raw, parsed})
}
