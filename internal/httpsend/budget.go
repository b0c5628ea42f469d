package httpsend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// errNoAnswer is the cause of a budget's end by one of its limits.
var errNoAnswer = errors.New("httpsend: no response in time")

// budget is the context of one request. One timer enforces all its limits.
type budget struct {
	context.Context
	cancel   context.CancelCauseFunc
	response time.Duration // to the end of the response's headers, once the request is written
	latest   time.Time     // when the budget ends
	large    bool          // writing the body can take time

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newBudget begins with the time for the response where the request is as good as
// written: a small one, on a kept-alive connection. Otherwise that time begins
// when the dialer or the body says so.
func newBudget(ctx context.Context, response, total time.Duration, size int) *budget {
	b := &budget{response: response, latest: time.Now().Add(total), large: size > smallBody}
	b.Context, b.cancel = context.WithCancelCause(ctx)
	first := total
	if !b.large {
		first = min(response, total)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(first, b.expire)
	return b
}

func (b *budget) expire() { b.cancel(errNoAnswer) }

// connecting suspends the time for the response: the dialer has its own budget.
func (b *budget) connecting() { b.expect(time.Until(b.latest)) }

// connected ends what connecting began.
func (b *budget) connected() {
	if !b.large {
		b.written()
	}
}

// written starts the time for the response.
func (b *budget) written() { b.expect(b.response) }

// expect ends the budget after d, and at its latest end anyway.
func (b *budget) expect(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.timer.Reset(min(d, time.Until(b.latest)))
	}
}

func (b *budget) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.timer.Stop()
	b.cancel(nil)
}

// smallBody is a size that the kernel takes at once, whether the receiver reads
// or not. The end of writing a larger one is watched.
const smallBody = 16 << 10

// request makes the HTTP request. An Idempotency-Key is never sent: whoever stands
// between, a proxy for example, could take it for leave to send the request again.
func (b *budget) request(u *url.URL, header http.Header, body []byte) *http.Request {
	for _, key := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		_, has := header[key]
		if has { // without it nothing is written, so that callers can share a header between requests
			delete(header, key)
		}
	}
	r := &http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: u, Host: u.Host, Header: header}
	if len(body) == 0 {
		return r
	}
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(body)), nil // a type that is written together with the header
	}
	return r
}
