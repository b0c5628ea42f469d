package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ringyo-ai/webhook"
)

// UnreadableError lists the endpoints of which something stored cannot be read:
// see [Store.Validate]. It is [webhook.ErrUnreadable] for errors.Is, and [ErrKey]
// if the keys are the reason for any of them.
type UnreadableError struct {
	Endpoints []UnreadableEndpoint // in the order of their creation, never empty
}

// UnreadableEndpoint is an endpoint whose deliveries wait, since something of it
// cannot be read.
type UnreadableEndpoint struct {
	AccountID, ID string
	Parts         []string // see [webhook.Endpoint.Unreadable]
	Err           error    // says why
}

// namedInError is how many endpoints the text of an UnreadableError names.
const namedInError = 5

// Error implements error.
func (e *UnreadableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sqlstore: %d endpoints cannot be read, their deliveries wait", len(e.Endpoints))
	for i, ep := range e.Endpoints {
		if i == namedInError {
			fmt.Fprintf(&b, "; and %d more", len(e.Endpoints)-i)
			break
		}
		fmt.Fprintf(&b, "; %v", ep.Err)
	}
	return b.String()
}

// Unwrap returns the reasons, for errors.Is.
func (e *UnreadableError) Unwrap() []error {
	errs := make([]error, len(e.Endpoints))
	for i, ep := range e.Endpoints {
		errs[i] = ep.Err
	}
	return errs
}

func (e *UnreadableError) add(ep storedEndpoint) {
	e.Endpoints = append(e.Endpoints, UnreadableEndpoint{AccountID: ep.AccountID, ID: ep.ID, Parts: ep.Unreadable, Err: ep.bad})
}

// orNil returns e if it lists anything.
func (e *UnreadableError) orNil() error {
	if len(e.Endpoints) == 0 {
		return nil
	}
	return e
}

// unread collects what of one endpoint's row cannot be read, and why. A row that
// is damaged must not fail what reads it together with others.
type unread struct {
	parts  []string
	causes []error
}

func (u *unread) add(part string, err error) {
	if err != nil && !slices.Contains(u.parts, part) {
		u.parts = append(u.parts, part)
		u.causes = append(u.causes, fmt.Errorf("%s: %w", part, err))
	}
}

// err says of which endpoint what cannot be read and why, or is nil.
func (u *unread) err(endpointID string) error {
	if len(u.parts) == 0 {
		return nil
	}
	return fmt.Errorf("%w: endpoint %s: %w", webhook.ErrUnreadable, endpointID, errors.Join(u.causes...))
}

var errNull = errors.New("is null")

// column scans a column into dst, a *string, *int or *int64. What does not fit is
// noted, and dst stays as it is.
type column struct {
	name string
	dst  any
	bad  *unread
}

// Scan implements sql.Scanner.
func (c column) Scan(src any) error {
	var err error
	switch dst := c.dst.(type) {
	case *string:
		err = scanInto[sql.NullString](src, func(v sql.NullString) (ok bool) { *dst = v.String; return v.Valid })
	case *int:
		err = scanInto[sql.NullInt64](src, func(v sql.NullInt64) (ok bool) { *dst = int(v.Int64); return v.Valid })
	case *int64:
		err = scanInto[sql.NullInt64](src, func(v sql.NullInt64) (ok bool) { *dst = v.Int64; return v.Valid })
	}
	c.bad.add(c.name, err)
	return nil
}

func scanInto[V any, P interface {
	*V
	sql.Scanner
}](src any, take func(V) bool) error {
	var v V
	if err := P(&v).Scan(src); err != nil {
		return err
	}
	if !take(v) {
		return errNull
	}
	return nil
}

// columnsOf makes columns of a list of names, as it stands in a statement, and
// what they are scanned into.
func columnsOf(bad *unread, names string, dst ...any) []any {
	list := strings.Split(names, ",")
	all := make([]any, len(dst))
	for i, d := range dst {
		all[i] = column{name: strings.TrimSpace(list[i]), dst: d, bad: bad}
	}
	return all
}
