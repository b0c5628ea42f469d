package receive

import (
	"bufio"
	"context"
	"net"
	"net/http"

	"github.com/ringyo-ai/webhook"
)

type eventKey struct{}

// EventFromContext returns the verified event of a request that passed
// [Receiver.Middleware].
func EventFromContext(ctx context.Context) (webhook.Event, bool) {
	e, ok := ctx.Value(eventKey{}).(webhook.Event)
	return e, ok
}

// Middleware lets only verified requests through to next, once for each event,
// with the raw body still to be read. It is for code that handles the request
// itself; handlers registered with [On] and its like do not run, except those of
// [Receiver.OnTest]: test events go no further. If next responds with anything but
// a 2xx, panics, or hijacks the connection before a 2xx, the event stays unhandled,
// and the sender's retry gets in. The request's context outlives a sender that
// hangs up, as it does for handlers. [AsyncConfig] has no effect here.
func (r *Receiver) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		e, status := r.accept(w, req)
		switch {
		case status != 0:
		case e.Test:
			status = r.process(req.Context(), e)
		default:
			status = r.pass(next, w, req, e)
		}
		if status != 0 {
			reply(w, status)
		}
	})
}

// pass hands a verified request on. It returns the status of a refusal, or 0
// when next has responded.
func (r *Receiver) pass(next http.Handler, w http.ResponseWriter, req *http.Request, e webhook.Event) int {
	if err := r.gate.enter(); err != nil {
		return statusOf(err)
	}
	defer r.gate.leave()
	m, err := r.begin(req.Context(), e)
	if err != nil {
		return statusOf(err)
	}
	ctx, cancel := r.handlerContext(req.Context(), m)
	defer cancel()
	s := &statusWriter{ResponseWriter: w}
	returned := false
	defer func() { r.settle(ctx, e, m, returned && s.succeeded()) }() // after a panic too
	req = req.WithContext(context.WithValue(ctx, eventKey{}, e))
	r.gate.begin()
	defer r.gate.end()
	next.ServeHTTP(s, req)
	returned = true
	return 0
}

// statusWriter notes the status that a handler responds with.
type statusWriter struct {
	http.ResponseWriter
	status   int
	hijacked bool
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // 1xx come before the response
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack notes that the handler responds past this writer.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = w.hijacked || err == nil
	return conn, rw, err
}

// succeeded reports whether the handler responded with a 2xx. One that wrote
// nothing did, since net/http sends 200 for it, unless it hijacked the connection:
// then nobody knows.
func (w *statusWriter) succeeded() bool {
	return w.status/100 == 2 || w.status == 0 && !w.hijacked
}
