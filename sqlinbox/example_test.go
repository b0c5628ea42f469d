package sqlinbox_test

import (
	"context"
	"database/sql"
	"log"
	"net/http"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
	"github.com/ringyo-ai/webhook/sqlinbox"
)

// A customer's server whose handler writes to its database: the booking and the
// mark that the event was handled are committed together. Handlers that take
// long write a job instead, and work on it later.
func ExampleOn() {
	db, err := sql.Open("pgx", "postgres://localhost/shop") // with pgx imported
	if err != nil {
		log.Fatal(err)
	}
	inbox, err := sqlinbox.New(db, sqlinbox.Postgres, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := inbox.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	secret, err := webhook.ParseSecret("whsec_…")
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := receive.New(receive.Config{Secrets: []webhook.Secret{secret}, Deduper: inbox})
	if err != nil {
		log.Fatal(err)
	}
	sqlinbox.On(receiver, inbox, func(ctx context.Context, tx *sql.Tx, _ webhook.Event, a webhook.AppointmentCreated) error {
		_, err := tx.ExecContext(ctx, "insert into booking (id, starts) values ($1, $2)", a.AppointmentID, a.StartTime)
		return err
	})
	log.Fatal(http.ListenAndServe("localhost:8080", receiver))
}
