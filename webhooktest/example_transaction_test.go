package webhooktest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// What a transaction emitted is there once it has committed, and only then.
func ExampleRecorder_Begin() {
	t, ctx := new(testing.T), context.Background() // the test's own
	rec := webhooktest.NewRecorder(t)

	tx := rec.Begin()
	err := rec.EmitTx(ctx, tx, webhook.NewCreditsLow("acc_1", webhook.CreditsLow{Balance: 180, Threshold: 200}))
	fmt.Println(len(rec.Events()), err)
	err = tx.Commit()
	fmt.Println(len(rec.Events()), err)
	// Output:
	// 0 <nil>
	// 1 <nil>
}
