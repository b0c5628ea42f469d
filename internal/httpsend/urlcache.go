package httpsend

import (
	"errors"
	"hash/maphash"
	"net"
	"net/url"
	"sync/atomic"

	"github.com/ringyo-ai/webhook/internal/egress"
	"github.com/ringyo-ai/webhook/internal/http1"
)

// target is a checked URL, and where it leads.
type target struct {
	raw string
	url *url.URL
	key http1.Key // without an owner
}

func newTarget(raw string, u *url.URL) *target {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return &target{raw, u, http1.Key{TLS: u.Scheme == "https", Address: net.JoinHostPort(u.Hostname(), port)}}
}

// urlCache keeps targets, so that a busy endpoint's URL is not parsed at each
// attempt. A string has one place; whatever comes there next takes it over, so
// the cache needs neither lock nor sweep and never grows. Targets are shared and
// must not be changed.
type urlCache struct {
	seed  maphash.Seed
	slots [1024]atomic.Pointer[target]
}

func newURLCache() *urlCache { return &urlCache{seed: maphash.MakeSeed()} }

func (c *urlCache) slot(raw string) *atomic.Pointer[target] {
	return &c.slots[maphash.String(c.seed, raw)%uint64(len(c.slots))]
}

func (c *urlCache) get(raw string) *target {
	if e := c.slot(raw).Load(); e != nil && e.raw == raw {
		return e
	}
	return nil
}

func (c *urlCache) put(e *target) { c.slot(e.raw).Store(e) }

// sendTo is where a request goes. What is stored is checked again at each
// attempt: somebody may have changed it there.
func (t *Sender) sendTo(raw string) (*target, error) {
	if at := t.urls.get(raw); at != nil {
		return at, nil
	}
	u, err := t.policy.ParseURL(raw)
	if err == nil {
		at := newTarget(raw, u)
		t.urls.put(at)
		return at, nil
	}
	var refused *egress.Error
	if errors.As(err, &refused) && refused.Kind == egress.Address {
		return nil, &Error{Kind: BlockedAddress, Detail: detailBlocked, Err: err}
	}
	return nil, &Error{Kind: URL, Detail: refused.Kind.Problem(), Err: err}
}
