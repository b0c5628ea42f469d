package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"log"
	"os"
	"os/signal"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// The backend's database becomes the store, with signing secrets encrypted by a
// key that is kept outside it. Migrate may run at every start.
func ExampleNew() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	db, err := sql.Open("pgx", "postgres://localhost/shop") // import _ "github.com/jackc/pgx/v5/stdlib"
	if err != nil {
		log.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(os.Getenv("WEBHOOK_STORE_KEY")) // 32 random bytes
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.Postgres, &sqlstore.Options{Keys: sqlstore.SingleKey(key)})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	engine, err := webhook.New(webhook.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := engine.Start(ctx); err != nil {
		log.Fatal(err)
	}
	<-ctx.Done() // the server serves

	if err := engine.Stop(context.Background()); err != nil { // within 8 s
		log.Print(err) // what was cut off is sent again
	}
}
