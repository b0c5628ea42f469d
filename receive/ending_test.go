package receive_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

func TestShutdownReturnsOnceWhatIsLostWasReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		r := newReceiver(t, func(c *receive.Config) {
			c.Async = &receive.AsyncConfig{Workers: 1, OnLost: func(webhook.Event, error) {
				time.Sleep(time.Millisecond)
				lost.Add(1)
			}}
		})
		hold := make(chan struct{})
		r.OnOther(func(context.Context, webhook.Event) error { <-hold; return nil }) // heeds no context
		for i := range 20 {
			require.Equal(t, http.StatusOK, serve(r, signedEvent(fmt.Sprint("evt_", i), "order.placed", "1").request()).Code)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
		assert.EqualValues(t, 19, lost.Load(), "all but the one whose handler is running")
		assert.Less(t, time.Since(begin), 2*time.Second, "that one is not waited for")
		close(hold)
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

func TestShutdownWaitsForTestEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, nil)
		done := false
		r.OnTest(func(context.Context, webhook.Event) error { time.Sleep(time.Second); done = true; return nil })
		sendTest := func() *http.Request {
			req := callCompleted("evt_1").request()
			req.Header.Set("webhook-test", "1")
			return req
		}
		go serve(r, sendTest())
		synctest.Wait()
		require.NoError(t, r.Shutdown(t.Context()))
		assert.True(t, done)
		assert.Equal(t, http.StatusServiceUnavailable, serve(r, sendTest()).Code)
	})
}

func TestNoErrorOfAHandlerIsAcknowledged(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		receive.ErrDuplicate, receive.ErrInProgress, webhook.ErrSignature, webhook.ErrMalformedEvent, webhook.ErrBodyTooLarge, errors.New("other"),
	} {
		r := newReceiver(t, nil)
		r.OnOther(func(context.Context, webhook.Event) error { return fmt.Errorf("booking: %w", err) })
		for range 2 {
			assert.Equal(t, http.StatusInternalServerError, serve(r, callCompleted("evt_1").request()).Code, "%v", err)
		}
	}
}

// panickyLog is a log handler that panics.
type panickyLog struct{}

func (panickyLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickyLog) Handle(context.Context, slog.Record) error { panic("log") }
func (l panickyLog) WithAttrs([]slog.Attr) slog.Handler      { return l }
func (l panickyLog) WithGroup(string) slog.Handler           { return l }

func TestALogHandlerThatPanicsEndsNoReceiver(t *testing.T) {
	t.Parallel()
	for name, async := range map[string]*receive.AsyncConfig{"at once": nil, "queued": {Retry: webhook.Schedule{}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logger := slog.New(panickyLog{})
			dedupe, err := receive.NewMemoryDeduper(receive.MemoryDeduperConfig{MaxEvents: 1, Logger: logger})
			require.NoError(t, err)
			r := newReceiver(t, func(c *receive.Config) { c.Logger, c.Async, c.Deduper = logger, async, dedupe })
			r.OnOther(func(context.Context, webhook.Event) error { return errors.New("broken") })
			for i := range 3 {
				serve(r, callCompleted(fmt.Sprint("evt_", i)).request())
			}
			require.NoError(t, r.Shutdown(t.Context()))
		})
	}
}

// testing's FailNow ends the goroutine that it is called in.
func TestAHandlerThatEndsItsGoroutineHasFailed(t *testing.T) {
	t.Parallel()
	t.Run("queued", func(t *testing.T) {
		t.Parallel()
		var lost atomic.Int64
		r := newReceiver(t, func(c *receive.Config) {
			c.Async = &receive.AsyncConfig{OnLost: func(webhook.Event, error) { lost.Add(1) }}
		})
		r.OnOther(func(context.Context, webhook.Event) error { runtime.Goexit(); return nil })
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
		require.NoError(t, r.Shutdown(t.Context()))
		assert.EqualValues(t, 1, lost.Load())
	})
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, nil)
		calls := 0
		r.OnOther(func(context.Context, webhook.Event) error {
			if calls++; calls == 1 {
				runtime.Goexit()
			}
			return nil
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			serve(r, callCompleted("evt_1").request())
		}()
		<-done
		assert.Equal(t, http.StatusOK, serve(r, callCompleted("evt_1").request()).Code)
		assert.Equal(t, 2, calls, "the retry gets in")
	})
}

func TestMiddlewareTakesHijackForNoSuccess(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	calls := 0
	s := httptest.NewServer(r.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls > 1 {
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(conn, "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			_ = conn.Close()
		}
	})))
	defer s.Close()
	post := func() int {
		req := callCompleted("evt_1").request()
		out, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, req.Body)
		require.NoError(t, err)
		out.Header, out.ContentLength = req.Header, req.ContentLength
		resp, err := s.Client().Do(out)
		require.NoError(t, err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, want := range []int{500, 200, 200} {
		got := post()
		for got == http.StatusConflict { // the handler has responded and not returned yet
			got = post()
		}
		assert.Equal(t, want, got)
	}
	assert.Equal(t, 2, calls)
}

func TestTheQueueDoesNotBoundMiddleware(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(c *receive.Config) { c.Async = &receive.AsyncConfig{Queue: 1} })
	inner := 0
	var m http.Handler
	m = r.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if inner++; inner == 1 {
			assert.Equal(t, http.StatusOK, serve(m, callCompleted("evt_2").request()).Code)
		}
	}))
	assert.Equal(t, http.StatusOK, serve(m, callCompleted("evt_1").request()).Code)
	assert.Equal(t, 2, inner)
}

// What a stranger sends is no fault of the server, whatever its form.
func TestAStrangersRequestIsNeverAServerError(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(newReceiver(t, nil))
	defer s.Close()
	signed := callCompleted("evt_1").request().Header
	head := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n" +
		"Webhook-Id: " + signed.Get("Webhook-Id") + "\r\nWebhook-Timestamp: " + signed.Get("Webhook-Timestamp") +
		"\r\nWebhook-Signature: " + signed.Get("Webhook-Signature") + "\r\n"
	const chunked = "Transfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"no body at all":            {head + "\r\n", 401},
		"a length of 0":             {head + "Content-Length: 0\r\n\r\n", 401},
		"an empty chunked body":     {head + chunked + "0\r\n\r\n", 401},
		"the same with a trailer":   {head + "Trailer: A\r\n" + chunked + "0\r\nA: b\r\n\r\n", 401},
		"one chunk":                 {head + chunked + "2\r\n{}\r\n0\r\n\r\n", 401},
		"a chunk that is no number": {head + chunked + "x\r\n", 400},
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, c.text)
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, res.StatusCode, name)
		_ = conn.Close()
	}
}
