// Package rewind lets time pass for a store in a database: the tests of stores ask for
// it, and the times are the database server's.
package rewind

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Store moves every time that is stored back by d.
func Store(ctx context.Context, db *sql.DB, d time.Duration) error {
	us := d.Microseconds()
	columns := map[string][]string{
		"endpoint":    {"disabled_at", "failing_since", "last_triggered_at", "last_success_at", "last_failure_at", "paused_until", "probe_at", "revised_at", "created_at", "updated_at"},
		"event":       {"created_at"},
		"unmatched":   {"created_at"},
		"delivery":    {"created_at", "ends_at"},
		"queue":       {"due"},
		"lease":       {"due"},
		"process":     {"alive_until"},
		"revision":    {"begun_at", "ended_at"},
		"attempt":     {"at"},
		"count":       {"at"},
		"tally":       {"hour"},
		"idempotency": {"running_until", "expires_at"},
	}
	for table, names := range columns {
		for _, c := range names {
			if _, err := db.ExecContext(ctx, fmt.Sprintf("update webhook_%s set %s = %s - %d where %s <> 0", table, c, c, us, c)); err != nil {
				return err
			}
		}
	}
	// SQLite's alone; the others have no such table.
	_, _ = db.ExecContext(ctx, fmt.Sprintf("update webhook_timeline set created_at = created_at - %d", us))
	return secrets(ctx, db, us)
}

// secrets moves the expiry of secrets, which is stored beside each.
func secrets(ctx context.Context, db *sql.DB, us int64) error {
	stored, err := readSecrets(ctx, db)
	for num, text := range stored {
		var list []map[string]any
		if err = errors.Join(err, json.Unmarshal([]byte(text), &list)); err != nil {
			return err
		}
		for _, secret := range list {
			if at, ok := secret["expires"].(float64); ok {
				secret["expires"] = int64(at) - us
			}
		}
		moved, bad := json.Marshal(list)
		_, failed := db.ExecContext(ctx, fmt.Sprintf("update webhook_endpoint set secrets = '%s' where num = %d", moved, num))
		err = errors.Join(bad, failed)
	}
	return err
}

func readSecrets(ctx context.Context, db *sql.DB) (map[int64]string, error) {
	stored := map[int64]string{}
	rows, err := db.QueryContext(ctx, "select num, secrets from webhook_endpoint")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var num int64
		var text string
		if err := rows.Scan(&num, &text); err != nil {
			return nil, err
		}
		stored[num] = text
	}
	return stored, rows.Err()
}
