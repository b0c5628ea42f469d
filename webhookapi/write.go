package webhookapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// write writes a success.
func (h *Handler) write(w http.ResponseWriter, r *request, out response) {
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	if out.etag != "" {
		w.Header().Set("ETag", out.etag)
	}
	if out.repeated {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	body := out.raw
	if body == nil {
		var err error
		if body, err = encode(out.body); err != nil {
			h.fail(w, r, err)
			return
		}
	}
	if h.opt.Envelope && !out.plain {
		body = envelope(body, r.id)
	}
	h.send(w, status, "application/json", body)
}

// envelope wraps a body.
func envelope(body []byte, requestID string) []byte {
	meta, _ := encode(metaBody{requestID}) // a struct of a string: no error
	var b bytes.Buffer
	b.WriteString(`{"data":`)
	b.Write(bytes.TrimSuffix(body, []byte("\n")))
	b.WriteString(`,"meta":`)
	b.Write(bytes.TrimSuffix(meta, []byte("\n")))
	b.WriteString("}\n")
	return b.Bytes()
}

func (h *Handler) json(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := encode(v)
	if err != nil { // of a type of this package: it does not happen
		status, body = http.StatusInternalServerError, []byte("{}\n")
	}
	h.send(w, status, contentType, body)
}

func (h *Handler) send(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody is left to tell
}

// encode returns the JSON of v, with & < > as they are, and one newline at its end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// when is a time in RFC 3339, UTC, whole seconds; the zero time is null.
type when time.Time

// MarshalJSON implements [json.Marshaler].
func (t when) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return []byte(time.Time(t).UTC().Truncate(time.Second).Format(`"2006-01-02T15:04:05Z"`)), nil
}

// text is a string of which the empty one is null.
type text string

// MarshalJSON implements [json.Marshaler].
func (s text) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	b, err := encode(string(s))
	return bytes.TrimSuffix(b, []byte("\n")), err
}

// page is one page of a list.
type page[T any] struct {
	Data       []T  `json:"data"`
	HasMore    bool `json:"has_more"`
	NextCursor text `json:"next_cursor"`
}

// countedPage is a page that says how many there are in all.
type countedPage[T any] struct {
	page[T]
	Total int `json:"total"`
}

// pageOf converts the items of a page.
func pageOf[A, B any](items []A, next string, convert func(A) B) page[B] {
	p := page[B]{Data: make([]B, len(items)), HasMore: next != "", NextCursor: text(next)}
	for i, item := range items {
		p.Data[i] = convert(item)
	}
	return p
}
