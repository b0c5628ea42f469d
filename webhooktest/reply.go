package webhooktest

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Reply is how a [Server] responds to a request. The zero Reply is 200 at once.
type Reply struct {
	Status     int           // defaults to 200
	RetryAfter time.Duration // sent as the header Retry-After, in whole seconds, if it is not zero
	Header     http.Header   // further headers
	Body       string        // the body; receivers of this library do not read it

	Delay time.Duration // before the response
	Hang  bool          // no response, until the sender gives up
	Reset bool          // no response: the connection is reset
}

// Reply scripts the responses to the next requests that verify, one each. What
// follows them gets a 200, or what [Server.ReplyAlways] says.
func (s *Server) Reply(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = append(s.replies, replies...)
}

// ReplyAlways scripts the response to every request that verifies, once those of
// [Server.Reply] are used up.
func (s *Server) ReplyAlways(reply Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = reply
}

// write sends r. It ends early when the sender goes away or the server closes.
func (a Reply) write(w http.ResponseWriter, r *http.Request, closing <-chan struct{}) {
	if !a.pause(r.Context(), closing) {
		panic(http.ErrAbortHandler) // no response at all, where returning would be a 200
	}
	if a.Reset {
		reset(w)
		return
	}
	for k, v := range a.Header {
		w.Header()[http.CanonicalHeaderKey(k)] = v
	}
	if a.RetryAfter != 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.RetryAfter/time.Second)))
	}
	w.WriteHeader(cmp.Or(a.Status, http.StatusOK))
	_, _ = io.WriteString(w, a.Body) // the sender may be gone
}

// pause waits, and reports whether somebody is left to respond to.
func (a Reply) pause(ctx context.Context, closing <-chan struct{}) bool {
	var due <-chan time.Time
	switch {
	case a.Hang:
	case a.Delay <= 0:
		return true
	default:
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return true
	case <-ctx.Done():
	case <-closing:
	}
	return false
}

// reset breaks the connection with a TCP reset instead of an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // no connection to take over: net/http breaks it off
	}
	raw := conn
	if t, ok := conn.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = raw.Close()
}
