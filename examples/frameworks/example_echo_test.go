package frameworks_test

import (
	"fmt"

	"github.com/labstack/echo/v4"
)

// Under echo, echo.WrapHandler makes a Receiver one of its handlers.
func Example_echo() {
	r, err := newReceiver()
	if err != nil {
		fmt.Println(err)
		return
	}
	router := echo.New()
	router.POST("/webhooks", echo.WrapHandler(r))
	deliver(router)
	// Output:
	// call call_1 completed
	// 200
	// 200
}
