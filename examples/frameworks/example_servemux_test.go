package frameworks_test

import (
	"fmt"
	"net/http"
)

// A Receiver is an http.Handler, so the standard library's mux takes it as it is.
func Example_serveMux() {
	r, err := newReceiver()
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks", r)
	deliver(mux)
	// Output:
	// call call_1 completed
	// 200
	// 200
}
