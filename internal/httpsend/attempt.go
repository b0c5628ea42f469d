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

// errNoAnswer is the cause of an attempt's end by one of its time budgets.
var errNoAnswer = errors.New("httpsend: no answer in time")

// attempt is the context of one request, with one timer for all its budgets.
type attempt struct {
	context.Context
	cancel context.CancelCauseFunc
	answer time.Duration // to the end of the response's headers, once the request is written
	latest time.Time     // of the attempt's end
	large  bool          // writing the body can take time

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newAttempt begins with the time for the answer where the request is as good as
// written: a small one, on a kept-alive connection. Otherwise that time begins
// when the dialer or the body says so.
func newAttempt(ctx context.Context, answer, total time.Duration, size int) *attempt {
	a := &attempt{answer: answer, latest: time.Now().Add(total), large: size > smallBody}
	a.Context, a.cancel = context.WithCancelCause(ctx)
	first := total
	if !a.large {
		first = min(answer, total)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = time.AfterFunc(first, a.expire)
	return a
}

func (a *attempt) expire() { a.cancel(errNoAnswer) }

// connecting suspends the time for the answer: the dialer has its own budget.
func (a *attempt) connecting() { a.expect(time.Until(a.latest)) }

// connected ends what connecting began.
func (a *attempt) connected() {
	if !a.large {
		a.written()
	}
}

// written starts the time for the answer.
func (a *attempt) written() { a.expect(a.answer) }

// expect ends the attempt after d, and at its latest end anyway.
func (a *attempt) expect(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.timer.Reset(min(d, time.Until(a.latest)))
	}
}

func (a *attempt) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.timer.Stop()
	a.cancel(nil)
}

// smallBody is a size that the kernel takes at once, whether the receiver reads
// or not. The end of writing a larger one is watched.
const smallBody = 16 << 10

// request makes the HTTP request. An Idempotency-Key is never sent: whoever stands
// between, a proxy for example, could take it for leave to send the request again.
func (a *attempt) request(u *url.URL, header http.Header, body []byte) *http.Request {
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
