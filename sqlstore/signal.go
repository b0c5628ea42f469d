package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/ringyo-ai/webhook"
)

var _ webhook.Signaler = (*Store)(nil)

// Signal implements [webhook.Signaler]: it notifies Options.NotifyChannel.
func (s *Store) Signal(ctx context.Context) error {
	if s.notify == "" {
		return errors.ErrUnsupported
	}
	_, err := s.pool().ExecContext(ctx, s.notify)
	return s.failed("signal", err)
}

// notification returns the statement that notifies the channel. It is a transaction
// without rows, of which the commit need not reach the disk: what it tells of has.
func notification(d Dialect, channel string) (string, error) {
	switch {
	case channel == "":
		return "", nil
	case d != Postgres:
		return "", invalid("NotifyChannel", "is for PostgreSQL alone: other databases have no notifications")
	case len(channel) > 63, channel[0] < 'a', channel[0] > 'z', strings.Trim(channel, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
		return "", invalid("NotifyChannel", "must be at most 63 lower-case letters, digits and underscores, beginning with a letter")
	}
	return "select set_config('synchronous_commit', 'off', true), pg_notify('" + channel + "', '')", nil
}
