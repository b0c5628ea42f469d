package receive

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/check"
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
	own := c.fill()
	var v *webhook.ValidationError
	if errors.As(verifierErr, &v) {
		return invalid(v.Fields, own)
	}
	if verifierErr != nil {
		return verifierErr
	}
	if len(own) > 0 {
		return invalid(nil, own)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	c.Logger = safe.Logger(cmp.Or(c.Logger, slog.Default()))
	if c.Deduper != nil {
		return nil
	}
	d, err := NewMemoryDeduper(MemoryDeduperConfig{Clock: c.Clock, Logger: c.Logger})
	c.Deduper = d
	return err
}

// fill fills in the defaults of what is counted and timed. The caller's AsyncConfig stays
// as it is.
func (c *Config) fill() (s check.Settings) {
	lease := time.Minute
	if c.Async != nil {
		lease = 15 * time.Minute
		async := *c.Async
		c.Async = &async
	}
	check.Positive(&s, "Lease", &c.Lease, lease)
	check.OrOff(&s, "ReadTimeout", &c.ReadTimeout, 10*time.Second)
	if c.Async != nil {
		c.Async.fill(&s)
	}
	return s
}

// invalid makes the ValidationError of some fields and of what is wrong with others.
func invalid(fields []webhook.FieldError, s check.Settings) error {
	for _, p := range s {
		fields = append(fields, webhook.FieldError{Field: p.Field, Problem: p.Problem})
	}
	return &webhook.ValidationError{Fields: fields}
}
