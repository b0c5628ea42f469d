package itest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ringyo-ai/webhook"
)

// receiver stands for the customers. It counts what arrives, checks it, and
// responds by the name of the endpoint, see status.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	sends    map[string]int // by endpoint and event
	accepted map[string]bool
	bodies   map[string]string // by endpoint and number in the payload
	wrong    []string
	onSend   func(endpoint string) // before the response
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{sends: map[string]int{}, accepted: map[string]bool{}, bodies: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// knownSecret is the first secret of every endpoint of a child.
var knownSecret = func() webhook.Secret {
	s, err := webhook.RawSecret([]byte("thirty-two bytes of a known key!"))
	if err != nil {
		panic(err)
	}
	return s
}()

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ep, id := strings.TrimPrefix(req.URL.Path, "/"), req.Header.Get("webhook-id")
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onSend != nil {
		r.onSend(ep)
	}
	if err != nil {
		return // the sender is gone
	}
	r.check(ep, id, body, req.Header)
	name := ep + " " + id
	r.sends[name]++
	status := statusOf(ep, name, number(body), r.sends[name])
	r.accepted[name] = r.accepted[name] || status == http.StatusOK
	w.WriteHeader(status)
}

// check notes a request that is not signed with the known secret, and one whose
// payload came under another id or in another body before.
func (r *receiver) check(ep, id string, body []byte, h http.Header) {
	if err := webhook.Verify(body, h, knownSecret); err != nil {
		r.wrong = append(r.wrong, fmt.Sprintf("%s %s: %v", ep, id, err))
	}
	key := fmt.Sprint(ep, " ", number(body))
	before, known := r.bodies[key]
	if now := id + " " + string(body); !known {
		r.bodies[key] = now
	} else if before != now {
		r.wrong = append(r.wrong, "sent as "+before+" and as "+now)
	}
}

// number returns the number that a child put into its payload.
func number(body []byte) int {
	var envelope struct{ Data struct{ N int } }
	if json.Unmarshal(body, &envelope) != nil {
		return -1
	}
	return envelope.Data.N
}

// statusOf is the answer of an endpoint to the nth send of an event: wh_gone is
// gone, wh_dead fails always, wh_mixed for three events in four, and wh_flaky
// three times in ten.
func statusOf(ep, name string, number, n int) int {
	switch {
	case ep == "wh_gone":
		return http.StatusGone
	case ep == "wh_dead", ep == "wh_mixed" && (number+number/rareEvery)%4 != 0, ep == "wh_flaky" && unlucky(name, n):
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// unlucky says of three in ten sends that they fail, always the same ones. The
// fifth never fails, so that nothing ends exhausted.
func unlucky(name string, n int) bool {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, name, n)
	return n < 5 && h.Sum32()%10 < 3
}

// seen returns copies of what was counted.
func (r *receiver) seen() (sends map[string]int, accepted map[string]bool, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.sends), maps.Clone(r.accepted), r.wrong
}
