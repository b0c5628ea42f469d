package itest

import (
	"bytes"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/sqlstore"
)

// oddSettings are what a session can be set to. Each is named by Validate and
// Migrate, or the store works with it, perhaps with a warning.
var oddSettings = []struct {
	dialect           sqlstore.Dialect
	name, value       string
	refused, warnedOf string
}{
	{sqlstore.Postgres, "array_nulls", "off", "", ""},
	{sqlstore.Postgres, "search_path", "", "search_path", ""},
	{sqlstore.Postgres, "default_transaction_read_only", "on", "default_transaction_read_only", ""},
	{sqlstore.Postgres, "statement_timeout", "20", "statement_timeout", ""},
	{sqlstore.Postgres, "statement_timeout", "30s", "", ""},
	{sqlstore.Postgres, "idle_in_transaction_session_timeout", "10", "idle_in_transaction_session_timeout", ""},
	{sqlstore.Postgres, "lock_timeout", "500", "", "lock_timeout"},
	{sqlstore.Postgres, "default_transaction_isolation", "serializable", "", "default_transaction_isolation"},
	{sqlstore.Postgres, "default_transaction_isolation", "repeatable read", "", "default_transaction_isolation"},
	{sqlstore.Postgres, "synchronous_commit", "off", "", "synchronous_commit"},
	{sqlstore.Postgres, "standard_conforming_strings", "off", "", ""},
	{sqlstore.Postgres, "bytea_output", "escape", "", ""},
	{sqlstore.Postgres, "datestyle", "German", "", ""},
	{sqlstore.Postgres, "timezone", "Pacific/Chatham", "", ""},
	{sqlstore.Postgres, "intervalstyle", "sql_standard", "", ""},
	{sqlstore.Postgres, "row_security", "off", "", ""},
	{sqlstore.Postgres, "transform_null_equals", "on", "", ""},
	{sqlstore.MySQL, "sql_safe_updates", "1", "", ""},
	{sqlstore.MySQL, "autocommit", "0", "autocommit", ""},
	{sqlstore.MySQL, "sql_big_selects", "0", "max_join_size", ""},
	{sqlstore.MySQL, "max_join_size", "1", "max_join_size", ""},
	{sqlstore.MySQL, "sql_mode", "'EMPTY_STRING_IS_NULL'", "sql_mode", ""},
	{sqlstore.MySQL, "sql_mode", "'ORACLE'", "sql_mode", ""},
	{sqlstore.MySQL, "sql_mode", "'ANSI_QUOTES'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'ANSI'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'NO_BACKSLASH_ESCAPES'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'PAD_CHAR_TO_FULL_LENGTH'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'ONLY_FULL_GROUP_BY'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'TRADITIONAL'", "", ""},
	{sqlstore.MySQL, "sql_mode", "''", "", ""},
	{sqlstore.MySQL, "sql_mode", "'PIPES_AS_CONCAT'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'IGNORE_SPACE'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'HIGH_NOT_PRECEDENCE'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'NO_UNSIGNED_SUBTRACTION'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'NO_AUTO_VALUE_ON_ZERO'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'REAL_AS_FLOAT'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'SIMULTANEOUS_ASSIGNMENT'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'TIME_ROUND_FRACTIONAL'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'MSSQL'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'DB2'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'MAXDB'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'POSTGRESQL'", "", ""},
	{sqlstore.MySQL, "sql_mode", "'MYSQL323'", "", ""},
	{sqlstore.MySQL, "sql_select_limit", "1", "sql_select_limit", ""},
	{sqlstore.MySQL, "sql_select_limit", "0", "sql_select_limit", ""},
	{sqlstore.MySQL, "sql_select_limit", "1000", "sql_select_limit", ""},
	{sqlstore.MySQL, "sql_select_limit", "18446744073709551615", "", ""},
	{sqlstore.MySQL, "sql_big_selects", "1", "", ""},
	{sqlstore.MySQL, "group_concat_max_len", "4", "", ""},
	{sqlstore.MySQL, "div_precision_increment", "0", "", ""},
	{sqlstore.MySQL, "completion_type", "1", "completion_type", ""},
	{sqlstore.MySQL, "completion_type", "2", "completion_type", ""},
	{sqlstore.MySQL, "sql_auto_is_null", "1", "", ""},
	{sqlstore.MySQL, "max_sort_length", "64", "", ""},
	{sqlstore.MySQL, "old_mode", "'ZERO_DATE_TIME_CAST'", "", ""},
	{sqlstore.MySQL, "tx_isolation", "'SERIALIZABLE'", "", ""},
	{sqlstore.MySQL, "tx_isolation", "'READ-UNCOMMITTED'", "", ""},
	{sqlstore.MySQL, "tx_read_only", "1", "tx_read_only", ""},
	{sqlstore.MySQL, "max_statement_time", "0.05", "max_statement_time", ""},
	{sqlstore.SQLite, "query_only", "1", "query_only", ""},
	{sqlstore.SQLite, "locking_mode", "exclusive", "locking_mode", ""},
	{sqlstore.SQLite, "journal_mode", "off", "journal_mode", ""},
	{sqlstore.SQLite, "synchronous", "0", "synchronous", ""},
	{sqlstore.SQLite, "synchronous", "1", "", "synchronous"},
	{sqlstore.SQLite, "foreign_keys", "1", "", ""},
	{sqlstore.SQLite, "recursive_triggers", "1", "", ""},
	{sqlstore.SQLite, "case_sensitive_like", "1", "", ""},
	{sqlstore.SQLite, "reverse_unordered_selects", "1", "", ""},
	{sqlstore.SQLite, "secure_delete", "1", "", ""},
	{sqlstore.SQLite, "cell_size_check", "1", "", ""},
}

// odd returns a data source whose sessions have the setting.
func odd(t *testing.T, d database, dsn, name, value string) string {
	t.Helper()
	switch d.dialect {
	case sqlstore.Postgres:
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		q := u.Query()
		q.Set(name, value)
		u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
		return u.String()
	case sqlstore.MySQL:
		cfg, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		cfg.Params = map[string]string{name: value}
		return cfg.FormatDSN()
	}
	return dsn + "&_pragma=" + name + "(" + value + ")"
}

func TestASettingIsNamedOrTheStoreWorksWithIt(t *testing.T) {
	t.Parallel()
	notUnderRace(t)
	onEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			d.create = func(t testing.TB) string {
				return filepath.Join(t.TempDir(), "webhook.db") + "?_pragma=busy_timeout(100)"
			}
		}
		for _, c := range oddSettings {
			if c.dialect != d.dialect {
				continue
			}
			t.Run(c.name+"="+c.value, func(t *testing.T) {
				dsn := d.create(t)
				d.storeOn(t, dsn, nil)
				var log bytes.Buffer
				s, err := sqlstore.New(d.open(t, odd(t, d, dsn, c.name, c.value)), d.dialect, &sqlstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				require.NoError(t, err)
				for call, err := range map[string]error{"Validate": s.Validate(ctx), "Migrate": s.Migrate(ctx)} {
					if c.refused == "" {
						require.NoError(t, err, call)
						continue
					}
					var bad *sqlstore.SettingError
					require.ErrorAs(t, err, &bad, call)
					assert.Equal(t, c.refused, bad.Name)
					assert.ErrorContains(t, err, c.refused)
				}
				if c.warnedOf != "" {
					assert.Contains(t, log.String(), "name="+c.warnedOf)
				} else {
					assert.Empty(t, log.String())
				}
				if c.refused != "" {
					return
				}
				cycle(t, s)
				work(t, s)
			})
		}
	})
}

// work does the rest of what delivering needs.
func work(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	_, err := s.CreateEndpoint(ctx, endpoint("wh_work", "call.failed"))
	require.NoError(t, err)
	for i, o := range []webhook.Outcome{webhook.OutcomeDelivered, webhook.OutcomeRetry, webhook.OutcomeExhausted, webhook.OutcomeReleased} {
		ev := event("evt_work_" + string(rune('a'+i)))
		ev.Type = webhook.EventCallFailed
		mustEnqueue(t, s, ev)
		c, err := s.Claim(ctx, webhook.ClaimRequest{LeaseTerms: terms(1, 1)})
		require.NoError(t, err)
		require.Len(t, c.Deliveries, 1)
		settlement := delivered(c.Deliveries[0])
		settlement.Outcome = o
		if o == webhook.OutcomeExhausted {
			settlement.Reason = webhook.ReasonAttempts
		}
		if o != webhook.OutcomeDelivered {
			settlement.Delay = time.Hour
			settlement.Attempt = &webhook.Attempt{ID: "att_2", At: time.Now().UTC(), StatusCode: 500, Failure: "http_status"}
		}
		out, err := s.Settle(ctx, []webhook.Settlement{settlement})
		require.NoError(t, err)
		require.Equal(t, webhook.SettleApplied, out.Results[0].Status, out.Results[0].Err)
	}
	list, err := s.ListDeliveries(ctx, webhook.DeliveryFilter{AccountID: "a", EndpointID: "wh_work", Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 4)
	for _, d := range list.Items {
		log, err := s.ListAttempts(ctx, "a", d.ID)
		require.NoError(t, err)
		assert.Len(t, log, 1, d.Status)
	}
	_, err = s.Redeliver(ctx, "a", list.Items[0].ID)
	require.NoError(t, err)
	_, err = s.QueueStats(ctx, "a", "wh_work")
	require.NoError(t, err)
	require.NoError(t, s.DeleteEndpoint(ctx, webhook.EndpointDelete{AccountID: "a", ID: "wh_work"}))
	_, err = s.Maintain(ctx, webhook.MaintainRequest{Limit: 100, Retention: time.Nanosecond})
	require.NoError(t, err)
}
