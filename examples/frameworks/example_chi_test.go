package frameworks_test

import (
	"fmt"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Under chi, middleware is fine as long as none of it reads the body.
func Example_chi() {
	r, err := newReceiver()
	if err != nil {
		fmt.Println(err)
		return
	}
	router := chi.NewRouter()
	router.Use(middleware.RequestID)
	router.Handle("/webhooks", r)
	deliver(router)
	// Output:
	// call call_1 completed
	// 200
	// 200
}
