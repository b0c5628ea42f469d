package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// mountAppointments books appointments, with POST /v1/appointments. The row and the event
// that tells of it are stored in one transaction: neither is ever there without the other.
func mountAppointments(mux *http.ServeMux, db *sql.DB, store *sqlstore.Store, engine *webhook.Engine) {
	mux.HandleFunc("POST /v1/appointments", func(w http.ResponseWriter, r *http.Request) {
		caller, err := access(r)
		if err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		var wanted struct {
			ID      string    `json:"id"`
			Contact string    `json:"contact"`
			Start   time.Time `json:"start"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&wanted); err != nil {
			http.Error(w, "the body must be JSON with id, contact and start", http.StatusBadRequest)
			return
		}
		event := webhook.NewAppointmentCreated(caller.AccountID, webhook.AppointmentCreated{
			AppointmentID: wanted.ID, CustomerName: wanted.Contact, StartTime: wanted.Start, DurationMinutes: 30,
		})
		err = store.InTx(r.Context(), engine, func(ctx context.Context, tx *sql.Tx, emit func(...webhook.Event) error) error {
			if _, err := tx.ExecContext(ctx, "insert into appointments (id, account, contact, starts_at) values (?, ?, ?, ?)",
				wanted.ID, caller.AccountID, wanted.Contact, wanted.Start.UTC().Format(time.RFC3339)); err != nil {
				return err
			}
			return emit(event)
		})
		switch {
		case errors.Is(err, webhook.ErrInvalidArgument):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			log.Print(err)
			http.Error(w, "internal error", http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	})
}
