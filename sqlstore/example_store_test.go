package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"log"
	"os"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// The backend's database becomes the store, with signing secrets encrypted by a
// key that is kept outside it. Migrate may run at every start.
func ExampleNew() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://localhost/shop") // with pgx imported
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
	if err := engine.Start(ctx); err != nil { // and Stop when the process ends
		log.Fatal(err)
	}
}
