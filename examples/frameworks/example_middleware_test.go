package frameworks_test

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ringyo-ai/webhook/receive"
)

// As middleware, a Receiver passes the request on once it is verified, once for
// each event, and the raw body can still be read.
func Example_middleware() {
	r, err := newReceiver()
	if err != nil {
		fmt.Println(err)
		return
	}
	own := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var body struct {
			Data json.RawMessage `json:"data"`
		}
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		e, _ := receive.EventFromContext(req.Context())
		fmt.Println(e.Type, string(body.Data))
		w.WriteHeader(http.StatusNoContent)
	})
	deliver(r.Middleware(own))
	// Output:
	// call.completed {"call_id":"call_1"}
	// 204
	// 200
}
