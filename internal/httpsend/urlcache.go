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

// sendTo is where a request goes. Every request has its URL checked: it comes from
// where it was stored, and somebody may have changed it there.
func (s *Sender) sendTo(raw string) (*target, error) {
	if at := s.urls.get(raw); at != nil {
		return at, nil
	}
	u, err := s.policy.ParseURL(raw)
	if err != nil {
		return nil, refusal(err)
	}
	at := newTarget(raw, u)
	s.urls.put(at)
	return at, nil
}

// refusal is the Error of a URL that may not be called.
func refusal(err error) *Error {
	var refused *egress.Error
	switch {
	case !errors.As(err, &refused):
		return &Error{Kind: URL, Detail: egress.Malformed.Problem(), Err: err}
	case refused.Kind == egress.Address:
		return &Error{Kind: BlockedAddress, Detail: detailBlocked, Err: err}
	}
	return &Error{Kind: URL, Detail: refused.Kind.Problem(), Err: err}
}
