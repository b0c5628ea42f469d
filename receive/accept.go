package receive

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Reasons of a Receiver to refuse a request, beside those of VerifyRequest.
var (
	errMethod    = errors.New("webhook: not a POST")
	errMediaType = errors.New("webhook: not JSON in UTF-8, or compressed")
	errUndecoded = errors.New("webhook: data does not decode")
	errHandler   = errors.New("webhook: the handler failed")
	errDedupe    = errors.New("webhook: de-duplication failed")
	errFull      = errors.New("webhook: no place in the queue")
	errClosed    = errors.New("webhook: the receiver is shutting down")
)

// statusOf returns the status of the response to a request that ended with err. A
// table outside would be linked into every program that has sqlinbox.
func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	for _, s := range [...]struct {
		err    error
		status int
	}{
		{errHandler, http.StatusInternalServerError}, // first: it wraps what the handler returned
		{ErrDuplicate, http.StatusOK},
		{ErrInProgress, http.StatusConflict},
		{webhook.ErrMissingHeader, http.StatusUnauthorized},
		{webhook.ErrInvalidHeader, http.StatusUnauthorized},
		{webhook.ErrSignature, http.StatusUnauthorized},
		{webhook.ErrTooOld, http.StatusUnauthorized},
		{webhook.ErrTooNew, http.StatusUnauthorized},
		{webhook.ErrMalformedEvent, http.StatusBadRequest},
		{errMethod, http.StatusMethodNotAllowed},
		{os.ErrDeadlineExceeded, http.StatusRequestTimeout}, // the cause of an ErrBodyRead
		{webhook.ErrBodyRead, http.StatusBadRequest},
		{webhook.ErrBodyTooLarge, http.StatusRequestEntityTooLarge},
		{errMediaType, http.StatusUnsupportedMediaType},
		{webhook.ErrBodyConsumed, http.StatusInternalServerError},
		{errDedupe, http.StatusServiceUnavailable},
		{errFull, http.StatusServiceUnavailable},
		{errClosed, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// busyPause is the pause, in seconds, that a 503 asks for.
const busyPause = "5"

// reply sends a status and a text that depends on nothing else.
func reply(w http.ResponseWriter, status int) {
	h := w.Header()
	switch status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", busyPause)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, http.StatusText(status)+"\n") // #nosec G705 -- a constant text as text/plain
}

// accept verifies a request. It returns the status of the refusal, or 0, and
// leaves the body to be read again.
func (r *Receiver) accept(w http.ResponseWriter, req *http.Request) (webhook.Event, int) {
	e, err := r.verify(w, req)
	if err != nil {
		r.refused(req, err)
		return webhook.Event{}, statusOf(err)
	}
	return e, 0
}

// verify returns the event in a request that has the form of a webhook.
func (r *Receiver) verify(w http.ResponseWriter, req *http.Request) (e webhook.Event, err error) {
	if r.cfg.ReadTimeout > 0 {
		// Not every ResponseWriter can do it; then the server's own limits hold.
		c := http.NewResponseController(w)
		if c.SetReadDeadline(time.Now().Add(r.cfg.ReadTimeout)) == nil {
			// Of a refused request net/http reads the rest before it responds, and
			// waits for that as long as this deadline lets it. It sets another one
			// for the next request. Once everything is read, a deadline would only
			// end the request's context under the handler.
			defer func() {
				if err == nil {
					_ = c.SetReadDeadline(time.Time{})
				}
			}()
		}
	}
	if req.Method != http.MethodPost {
		return webhook.Event{}, errMethod
	}
	if !isJSON(req.Header) {
		return webhook.Event{}, errMediaType
	}
	return r.verifier.VerifyRequest(req)
}

// isJSON reports whether the headers announce JSON in UTF-8, or nothing. The
// signature covers the bytes on the wire, so a compressed body could be verified;
// but this library never sends one, and what is not there cannot blow up.
func isJSON(h http.Header) bool {
	if c := h.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return false
	}
	t := h.Get("Content-Type")
	if t == "" || t == "application/json" {
		return true
	}
	mediaType, params, err := mime.ParseMediaType(t)
	if err != nil || mediaType != "application/json" {
		return false
	}
	charset := params["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8")
}

// refused logs a refused request: each with its explanation in debug mode, and
// otherwise the latest one of a minute, since strangers can cause any number.
func (r *Receiver) refused(req *http.Request, err error) {
	if r.cfg.Explain {
		r.cfg.Logger.Warn("webhook: request refused", "error", err, "status", statusOf(err),
			"explanation", explainRefusal(r.verifier, req, err), "remote", req.RemoteAddr)
		return
	}
	if n := r.refusals.due(time.Now()); n > 0 {
		r.cfg.Logger.Warn("webhook: request refused; receive.Config.Explain tells more", "error", err,
			"status", statusOf(err), "refused", n)
	}
}

// explainRefusal adds what a Receiver refuses before it verifies.
func explainRefusal(v *webhook.Verifier, req *http.Request, err error) string {
	switch {
	case errors.Is(err, errMethod):
		return fmt.Sprintf("webhooks are POSTs and this is a %.16q: a browser, a health check, or a redirect that turned a POST into a GET", req.Method)
	case errors.Is(err, errMediaType):
		return fmt.Sprintf("it has the Content-Type %.64q and the Content-Encoding %.64q: webhooks are application/json, not compressed",
			req.Header.Get("Content-Type"), req.Header.Get("Content-Encoding"))
	}
	return v.Explain(verifiedBody(req, err), req.Header, err)
}

// verifiedBody returns what VerifyRequest left in the body of a request that it
// refused with err, or nil if it did not get that far: what is on the wire then
// may be endless.
func verifiedBody(req *http.Request, err error) []byte {
	for _, unread := range [...]error{webhook.ErrMissingHeader, webhook.ErrBodyTooLarge, webhook.ErrBodyConsumed, webhook.ErrBodyRead} {
		if errors.Is(err, unread) {
			return nil
		}
	}
	body, _ := io.ReadAll(req.Body) // from memory
	return body
}

// warnEvery keeps a receiver that refuses or forgets much from flooding its log.
const warnEvery = time.Minute

// refusalLog counts refusals between two lines of the log.
type refusalLog struct {
	mu    sync.Mutex
	next  time.Time
	count int
}

// due counts one refusal. It returns how many there were since the last line if it
// is time for another one, and 0 otherwise.
func (l *refusalLog) due(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if now.Before(l.next) {
		return 0
	}
	n := l.count
	l.count, l.next = 0, now.Add(warnEvery)
	return n
}

// eventAttrs identify an event in the log.
func eventAttrs(e webhook.Event) slog.Attr {
	return slog.Group("event", "id", e.ID, "type", string(e.Type), "endpoint", e.EndpointID)
}
