package frameworks_test

import (
	"fmt"

	"github.com/gin-gonic/gin"
)

// Under gin, gin.WrapH makes a Receiver one of its handlers.
func Example_gin() {
	r, err := newReceiver()
	if err != nil {
		fmt.Println(err)
		return
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.POST("/webhooks", gin.WrapH(r))
	deliver(router)
	// Output:
	// call call_1 completed
	// 200
	// 200
}
