package receive

import (
	"errors"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/safe"
)

// Config configures a [Receiver]. Only Secrets is required.
type Config struct {
	// Secrets are those of the endpoint, the newest first: one, or two while a
	// rotation lasts. A receiver of several endpoints lists the secrets of all.
	// [Receiver.SetSecrets] replaces them later.
	Secrets []webhook.Secret

	// Scheme is how requests are signed. Defaults to Standard Webhooks.
	Scheme webhook.Scheme

	// Tolerance is how far a request's timestamp may be from this machine's
	// clock. Defaults to 5 minutes; -1 accepts any.
	Tolerance time.Duration

	// Clock returns the time that timestamps are compared with. Defaults to
	// time.Now.
	Clock func() time.Time

	// MaxBody bounds a request's body in bytes. Defaults to 2 MiB; -1 means any
	// number.
	MaxBody int64

	// ReadTimeout bounds the time that a body may take to arrive, instead of the
	// server's own ReadTimeout. Defaults to 10 seconds; -1 leaves it to the server.
	ReadTimeout time.Duration

	// Deduper recognises duplicates. Defaults to a [MemoryDeduper] of its
	// default size; [NoDedupe] switches it off.
	Deduper Deduper

	// Lease limits how long a handler may run. When it ends, the handler's context
	// is cancelled and a retry may run the event again. After a crash the event's
	// retries are refused until it ends, so it should be shorter than the sender's
	// last pause of 10 minutes. Defaults to 1 minute; with Async, where it covers
	// the time in the queue too, to 15 minutes.
	Lease time.Duration

	// Async, unless nil, acknowledges an event as soon as it is queued. See
	// [AsyncConfig] for what that costs.
	Async *AsyncConfig

	// Logger gets refused requests, at most one a minute, and every failure of a
	// handler. Defaults to slog.Default().
	Logger *slog.Logger

	// Explain logs each refused request together with what most likely went
	// wrong. It is for setting up: it takes time for each refusal, and anybody can
	// cause refusals. The response to the sender stays the same.
	Explain bool
}

// complete fills in the defaults and adds its own findings to those of
// NewVerifier.
func (c *Config) complete(verifierErr error) error {
	bad := c.problems()
	var v *webhook.ValidationError
	if errors.As(verifierErr, &v) {
		bad = append(v.Fields, bad...)
	} else if verifierErr != nil {
		return verifierErr
	}
	if bad != nil {
		return &webhook.ValidationError{Fields: bad}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = safe.Logger(c.Logger)
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 10 * time.Second
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
		if c.Async != nil {
			c.Lease = 15 * time.Minute
		}
	}
	if c.Async != nil {
		c.Async = c.Async.withDefaults()
	}
	if c.Deduper != nil {
		return nil
	}
	d, err := NewMemoryDeduper(MemoryDeduperConfig{Clock: c.Clock, Logger: c.Logger})
	c.Deduper = d
	return err
}

func (c *Config) problems() (bad []webhook.FieldError) {
	if c.Lease < 0 {
		bad = append(bad, webhook.FieldError{Field: "Lease", Problem: "must not be negative"})
	}
	if c.ReadTimeout < -1 {
		bad = append(bad, webhook.FieldError{Field: "ReadTimeout", Problem: "must be positive, 0 (10 seconds) or -1 (none)"})
	}
	if c.Async == nil {
		return bad
	}
	if c.Async.Queue < 0 {
		bad = append(bad, webhook.FieldError{Field: "Async.Queue", Problem: "must not be negative"})
	}
	if c.Async.Workers < 0 {
		bad = append(bad, webhook.FieldError{Field: "Async.Workers", Problem: "must not be negative"})
	}
	return bad
}
