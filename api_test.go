package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// shown is an error that a management API shows.
type shown interface {
	error
	Code() string
	Message() string
}

// coded returns what an API shows of err.
func coded(t *testing.T, err error) shown {
	t.Helper()
	require.Error(t, err)
	var s shown
	require.ErrorAs(t, err, &s)
	return s
}

// forCustomers matches a message in words for customers.
var forCustomers = regexp.MustCompile(`^[a-z][^\n]*[^.\n]$`)

var everything = []webhook.EventType{"*"}

func TestMistakesHaveACodeAMessageAndPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200), func(c *webhook.Config) { c.Transport = sorted{c.Transport} })
	ep := r.endpoint(hookURL)
	create := func(change func(p *webhook.EndpointParams)) func() error {
		return func() error {
			p := webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: everything}
			change(&p)
			_, _, err := r.CreateEndpoint(t.Context(), p)
			return err
		}
	}
	url := func(raw string) func() error {
		return create(func(p *webhook.EndpointParams) { p.URL = raw })
	}
	events := func(types ...webhook.EventType) func() error {
		return create(func(p *webhook.EndpointParams) { p.Events = types })
	}
	metadata := func(m map[string]string) func() error {
		return create(func(p *webhook.EndpointParams) { p.Metadata = m })
	}
	secret := func(s webhook.Secret) func() error {
		return create(func(p *webhook.EndpointParams) { p.Secret = s })
	}
	rotate := func(p webhook.RotateParams) func() error {
		return func() error { return second(r.RotateSecret(t.Context(), "acme", ep.ID, p)) }
	}
	list := func(q webhook.EndpointQuery) func() error {
		return func() error { return second(r.ListEndpoints(t.Context(), "acme", q)) }
	}
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	const form = ` must be a type such as "call.completed", a prefix such as "call.*", or "*"`
	const key = " must have a key of 1 to 64 bytes"
	long := strings.Repeat("x", 65)
	for name, c := range map[string]struct {
		do            func() error
		code, message string
		paths         []string
	}{
		"scheme":               {url("ftp://example.com/"), "invalid_url", "the URL must begin with https://", nil},
		"private address":      {url("https://10.0.0.1/"), "invalid_url", "the URL's host is not a public address", nil},
		"no URL":               {url(""), "invalid_url", "the URL is not a URL of the form https://host/path", nil},
		"no events":            {events(), "invalid_events", "events must hold 1 to 100 types", []string{"events"}},
		"one event of two":     {events("call.*", ".*"), "invalid_events", "events[1]" + form, []string{"events[1]"}},
		"a lone prefix":        {events("call*"), "invalid_events", "events[0]" + form, []string{"events[0]"}},
		"description":          {create(func(p *webhook.EndpointParams) { p.Description = strings.Repeat("x", 1025) }), "invalid_request", "description must have at most 1,024 bytes", []string{"description"}},
		"id":                   {create(func(p *webhook.EndpointParams) { p.ID = "a.b" }), "invalid_request", "id must match [A-Za-z0-9_-]{1,64}", []string{"id"}},
		"empty metadata key":   {metadata(map[string]string{"": "x"}), "invalid_request", "metadata." + key, []string{"metadata."}},
		"long metadata key":    {metadata(map[string]string{long: "x"}), "invalid_request", "metadata." + long[:64] + key, []string{"metadata." + long[:64]}},
		"long metadata values": {metadata(map[string]string{"b": strings.Repeat("x", 1025), "A": strings.Repeat("x", 1025), "c": ""}), "invalid_request", "metadata.A must have a value of at most 1024 bytes", []string{"metadata.A", "metadata.b"}},
		"much metadata":        {metadata(many), "invalid_request", "metadata must have at most 50 keys", []string{"metadata"}},
		"header": {
			create(func(p *webhook.EndpointParams) { p.Headers = webhook.Headers{"Content-Type": "x", "X-Team": "blue"} }),
			"invalid_request", "headers.content-type is reserved",
			[]string{"headers.content-type"},
		},
		"public key":        {secret(webhook.NewSigningKey().Public()), "invalid_request", "secret is a public key, which cannot sign", []string{"secret"}},
		"overlap":           {rotate(webhook.RotateParams{Overlap: -2}), "invalid_request", "overlap must not be negative, except -1 for none", []string{"overlap"}},
		"secret in use":     {rotate(webhook.RotateParams{Secret: secretOf(t, r, ep.ID)}), "invalid_request", "secret is in use already", []string{"secret"}},
		"limit":             {list(webhook.EndpointQuery{Limit: 1001}), "invalid_request", "limit must lie between 1 and 1,000", []string{"limit"}},
		"cursor":            {list(webhook.EndpointQuery{Cursor: "?"}), "invalid_request", "cursor is not one that the store returned", []string{"cursor"}},
		"status":            {list(webhook.EndpointQuery{Status: "on"}), "invalid_request", "status must be active, failing or inactive", []string{"status"}},
		"type of a test":    {func() error { return second(r.SendTest(t.Context(), "acme", ep.ID, "a b")) }, "invalid_request", "type must be 1 to 128 of the characters A-Z a-z 0-9 _ . -", []string{"type"}},
		"cannot be reached": {create(func(p *webhook.EndpointParams) { p.CheckReachable = true }), "url_unreachable", "the URL cannot be reached: no such host", nil},
		"all at once": {create(func(p *webhook.EndpointParams) {
			p.ID, p.Events, p.Headers = "a.b", []webhook.EventType{"*", "a b"}, webhook.Headers{"Host": "x"}
		}), "invalid_events", "events[1]" + form, []string{"id", "events[1]", "headers.host"}},
		"the URL among them": {create(func(p *webhook.EndpointParams) { p.ID, p.Events, p.URL = "a.b", nil, "http://example.com/" }), "invalid_url", "the URL must begin with https://", []string{"id", "events"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do()
			got := coded(t, err)
			assert.Equal(t, c.code, got.Code())
			assert.Equal(t, c.message, got.Message())
			assert.Regexp(t, forCustomers, got.Message())
			var paths []string
			if v := (*webhook.ValidationError)(nil); errors.As(err, &v) {
				for _, f := range v.Fields {
					paths = append(paths, f.Path)
				}
			}
			assert.Equal(t, c.paths, paths)
		})
	}
	p, err := r.ListEndpoints(t.Context(), "acme", webhook.EndpointQuery{})
	require.NoError(t, err)
	assert.Equal(t, []webhook.Endpoint{ep}, p.Items, "bad input changes nothing")
}

// sorted is a Transport that cannot reach anything and says so in a typed error.
type sorted struct{ webhook.Transport }

func (sorted) CheckReachable(context.Context, string) error {
	return &webhook.UnreachableError{Kind: "dns", Detail: "no such host", Err: errors.New("lookup 10.1.2.3")}
}

func TestRefusalsHaveACodeAndAMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200), func(c *webhook.Config) { c.MaxEndpoints, c.MaxSecrets = 1, 1 })
	ep := r.endpoint(hookURL)
	ctx := t.Context()
	add := webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: everything}
	taken := webhook.EndpointParams{AccountID: "other", ID: ep.ID, URL: hookURL, Events: everything}
	_, _, full := r.CreateEndpoint(ctx, add)
	_, _, used := r.CreateEndpoint(ctx, taken)
	for _, c := range []struct {
		err, sentinel error
		code, message string
	}{
		{full, webhook.ErrEndpointLimit, "webhook_limit_reached", "the account has as many webhooks as it may have"},
		{used, webhook.ErrIDConflict, "invalid_request", "this id is already in use"},
		{
			second(r.RotateSecret(ctx, "acme", ep.ID, webhook.RotateParams{})), webhook.ErrSecretLimit, "invalid_request",
			"the webhook has as many valid secrets as it may have; wait until one expires, or end the old ones at once",
		},
		{fmt.Errorf("%w: secrets", webhook.ErrUnreadable), webhook.ErrUnreadable, "invalid_request", "a stored part of the webhook that this needs cannot be read"},
		{fmt.Errorf("store: %w", webhook.ErrInvalidArgument), webhook.ErrInvalidArgument, "invalid_request", "the request is not valid"},
		{webhook.ErrVersionConflict, webhook.ErrVersionConflict, "revision_mismatch", "the webhook is being changed by other requests; try again"},
		{r.DeleteEndpointIf(ctx, "acme", ep.ID, ep.Revision+1), webhook.ErrRevisionMismatch, "revision_mismatch", "the webhook was changed in the meantime"},
		{&webhook.ValidationError{}, webhook.ErrInvalidArgument, "invalid_request", "the request is not valid"},
		{&webhook.ValidationError{Fields: []webhook.FieldError{{Field: "AccountID", Problem: "is wrong"}}}, webhook.ErrInvalidArgument, "invalid_request", "account_id is wrong"},
		{&webhook.URLError{Kind: "other"}, webhook.ErrInvalidArgument, "invalid_url", "the URL is not accepted"},
		{&webhook.UnreachableError{}, nil, "url_unreachable", "the URL cannot be reached"},
	} {
		got := coded(t, c.err)
		assert.Equal(t, c.code, got.Code())
		assert.Equal(t, c.message, got.Message())
		assert.Regexp(t, forCustomers, got.Message())
		if c.sentinel != nil {
			assert.ErrorIs(t, c.err, c.sentinel)
		}
	}
	require.False(t, errors.As(webhook.ErrStore, new(shown)), "what is the operator's has no words for customers")
}

func TestWhatIsNotFoundIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	mine := r.endpoint(hookURL)
	ev := r.emit(1)[0]
	d := r.deliveries(mine.ID, "")[0]
	for _, account := range []string{"acme", "other"} {
		ep, event, delivery := mine.ID, ev.ID, d.ID
		if account == "acme" {
			ep, event, delivery = "wh_none", "evt_none", "dlv_none"
		}
		ctx := t.Context()
		for code, errs := range map[string][]error{
			"webhook_not_found": {
				second(r.GetEndpoint(ctx, account, ep)), second(r.UpdateEndpoint(ctx, account, ep, webhook.EndpointChange{})),
				second(r.EnableEndpoint(ctx, account, ep)), second(r.DisableEndpoint(ctx, account, ep)),
				r.DeleteEndpoint(ctx, account, ep), r.DeleteEndpointIf(ctx, account, ep, mine.Revision+1),
				second(r.UpdateEndpoint(ctx, account, ep, webhook.EndpointChange{IfRevision: mine.Revision + 1})),
				second(r.RotateSecret(ctx, account, ep, webhook.RotateParams{IfRevision: mine.Revision + 1})),
				second(r.SendTest(ctx, account, ep, "a.b")), second(r.EndpointHealth(ctx, account, ep)),
				second(r.EndpointRevisions(ctx, account, ep)), second(r.Replay(ctx, account, ep, webhook.ReplayQuery{})),
				second(r.ListDeliveries(ctx, account, webhook.DeliveryQuery{EndpointID: ep})),
			},
			"delivery_not_found": {
				second(r.GetDelivery(ctx, account, delivery)), second(r.ListAttempts(ctx, account, delivery)), second(r.Redeliver(ctx, account, delivery)),
			},
			"event_not_found": {second(r.GetEvent(ctx, account, event)), r.RedactEvent(ctx, account, event)},
		} {
			for i, err := range errs {
				require.ErrorIs(t, err, webhook.ErrNotFound, "%s %d", code, i)
				assert.Equal(t, code, coded(t, err).Code(), i)
				what, _, _ := strings.Cut(code, "_")
				assert.Equal(t, "there is no "+what+" with this id", coded(t, err).Message())
			}
		}
	}
	assert.Equal(t, webhook.DeliveryPending, r.deliveries(mine.ID, "")[0].Status, "nothing changed")
}

func TestASignersOwnWordsAreForTheLogAlone(t *testing.T) {
	t.Parallel()
	log := &lockedLog{}
	r := newRig(t, status(200), func(c *webhook.Config) { c.Signer, c.Logger = strange{}, log.logger() })
	_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{URL: hookURL, Events: everything})
	assert.Equal(t, "secret is not one that can sign", coded(t, err).Message())
	assert.NotContains(t, err.Error(), "keyring")
	assert.Contains(t, log.text(), "keyring")
}

type strange struct{}

func (strange) Sign(http.Header, webhook.Message, ...webhook.Secret) error {
	return errors.New("keyring /etc/keys is missing")
}

// meeting is a Store in which changes meet: each call of GetEndpoint waits for a second
// one, so that both read the same, as long as it is on.
type meeting struct {
	webhook.Store
	mu      sync.Mutex
	partner chan struct{}
}

func (m *meeting) GetEndpoint(ctx context.Context, account, id string) (webhook.EndpointRecord, error) {
	r, err := m.Store.GetEndpoint(ctx, account, id)
	m.mu.Lock()
	if m.partner == nil {
		m.partner = make(chan struct{})
		wait := m.partner
		m.mu.Unlock()
		<-wait
		return r, err
	}
	select {
	case <-m.partner: // they have met
	default:
		close(m.partner)
	}
	m.mu.Unlock()
	return r, err
}

func TestOfTwoChangesOfOneRevisionOneWins(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(r *rig, id string, revision int64) error{
		"change": func(r *rig, id string, revision int64) error {
			value := "b"
			return second(r.UpdateEndpoint(context.Background(), "acme", id, webhook.EndpointChange{IfRevision: revision, Metadata: webhook.MetadataChanges{"b": &value}}))
		},
		"rotation": func(r *rig, id string, revision int64) error {
			return second(r.RotateSecret(context.Background(), "acme", id, webhook.RotateParams{IfRevision: revision}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m meeting
			r := newRig(t, status(200), func(c *webhook.Config) { m.Store, c.Store = c.Store, &m })
			ep := r.endpoint(hookURL)
			var errs [2]error
			var wg sync.WaitGroup
			wg.Go(func() {
				value := "a"
				_, errs[0] = r.UpdateEndpoint(context.Background(), "acme", ep.ID, webhook.EndpointChange{IfRevision: ep.Revision, Metadata: webhook.MetadataChanges{"a": &value}})
			})
			wg.Go(func() { errs[1] = other(r, ep.ID, ep.Revision) })
			wg.Wait()
			lost := 0
			for _, err := range errs {
				if err != nil {
					require.ErrorIs(t, err, webhook.ErrRevisionMismatch)
					lost++
				}
			}
			assert.Equal(t, 1, lost)
			got := r.get(ep.ID)
			assert.Equal(t, errs[0] == nil, got.Metadata["a"] == "a")
			assert.Equal(t, errs[1] == nil, got.Metadata["b"] == "b" || len(got.SecretHints) == 2)
			require.ErrorIs(t, other(r, ep.ID, ep.Revision), webhook.ErrRevisionMismatch, "it is an old one")
			assert.Equal(t, got, r.get(ep.ID))
			require.NoError(t, other(r, ep.ID, got.Revision), "with what was read again")
			require.ErrorIs(t, r.DeleteEndpointIf(t.Context(), "acme", ep.ID, got.Revision), webhook.ErrRevisionMismatch)
			require.NoError(t, r.DeleteEndpointIf(t.Context(), "acme", ep.ID, r.get(ep.ID).Revision))
		})
	}
}

func TestChangesOfAnyRevisionAreAllMade(t *testing.T) {
	t.Parallel()
	var m meeting
	r := newRig(t, status(200), func(c *webhook.Config) { m.Store, c.Store = c.Store, &m })
	ep := r.endpoint(hookURL)
	var wg sync.WaitGroup
	for _, key := range []string{"a", "b"} {
		wg.Go(func() {
			_, err := r.UpdateEndpoint(context.Background(), "acme", ep.ID, webhook.EndpointChange{Metadata: webhook.MetadataChanges{key: &key}})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Equal(t, map[string]string{"a": "a", "b": "b"}, r.get(ep.ID).Metadata)
}

func TestMetadataIsMergedByKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	given := map[string]string{"a": "1", "b": "2"}
	ep, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: everything, Metadata: given})
	require.NoError(t, err)
	merge := func(c webhook.MetadataChanges) (webhook.Endpoint, error) {
		return r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Metadata: c})
	}
	value, long := "3", strings.Repeat("x", 1025)
	got, err := merge(webhook.MetadataChanges{"b": &value, "c": &value, "none": nil, strings.Repeat("k", 65): nil})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "1", "b": "3", "c": "3"}, got.Metadata)
	assert.Equal(t, map[string]string{"a": "1", "b": "2"}, given)
	same, err := merge(webhook.MetadataChanges{})
	require.NoError(t, err)
	assert.Equal(t, got, same, "no change, no revision")

	full := webhook.MetadataChanges{}
	for i := range 47 {
		full[fmt.Sprint(i)] = &value
	}
	got, err = merge(full)
	require.NoError(t, err)
	require.Len(t, got.Metadata, 50)
	_, err = merge(webhook.MetadataChanges{"one more": &value})
	assert.Equal(t, "metadata must have at most 50 keys", coded(t, err).Message())
	_, err = merge(webhook.MetadataChanges{"a": &long})
	assert.Equal(t, "metadata.a must have a value of at most 1024 bytes", coded(t, err).Message())
	assert.Equal(t, got, r.get(ep.ID))
	got, err = merge(webhook.MetadataChanges{"a": nil, "one more": &value})
	require.NoError(t, err)
	assert.Len(t, got.Metadata, 50)
}

func TestAnEndpointIsSwitchedInTheSameWrite(t *testing.T) {
	t.Parallel()
	var w writes
	r := newRig(t, status(200), func(c *webhook.Config) { w.Store, c.Store = c.Store, &w })
	ep := r.endpoint(hookURL)
	moved, bad, on, off := "https://moved.example.com/", "ftp://example.com/", true, false
	change := func(c webhook.EndpointChange) webhook.Endpoint {
		got, err := r.UpdateEndpoint(t.Context(), "acme", ep.ID, c)
		require.NoError(t, err)
		return got
	}
	assert.Equal(t, ep, change(webhook.EndpointChange{Enabled: &on}), "it is enabled already")
	require.Zero(t, w.n)
	got := change(webhook.EndpointChange{Enabled: &off, URL: &moved})
	assert.Equal(t, 1, w.n)
	assert.Equal(t, webhook.EndpointInactive, got.Status)
	assert.Equal(t, webhook.DisabledManually, got.DisabledReason)
	assert.Equal(t, moved, got.URL)
	_, err := r.UpdateEndpoint(t.Context(), "acme", ep.ID, webhook.EndpointChange{Enabled: &on, URL: &bad})
	require.ErrorIs(t, err, webhook.ErrInvalidArgument)
	assert.Equal(t, got, r.get(ep.ID), "all or nothing")
	before, err := r.store.GetEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	got = change(webhook.EndpointChange{Enabled: &on, Description: &moved})
	assert.Equal(t, 2, w.n)
	assert.Equal(t, webhook.EndpointActive, got.Status)
	assert.Equal(t, moved, got.Description)
	after, err := r.store.GetEndpoint(t.Context(), "acme", ep.ID)
	require.NoError(t, err)
	assert.Greater(t, after.Generation, before.Generation, "it starts anew: what comes late of before does not count")
}

// writes is a Store that counts updates.
type writes struct {
	webhook.Store
	n int
}

func (w *writes) UpdateEndpoint(ctx context.Context, u webhook.EndpointUpdate) (webhook.EndpointRecord, error) {
	w.n++
	return w.Store.UpdateEndpoint(ctx, u)
}

func TestOnlyTypesThatThereAreCanBeSubscribedTo(t *testing.T) {
	t.Parallel()
	types := append(webhook.EventTypes(), "invoice.line.added")
	r := newRig(t, status(200), func(c *webhook.Config) { c.EventTypes = types })
	types[0] = "changed.later"
	for typ, message := range map[webhook.EventType]string{
		"*": "", "call.*": "", "call.initiated": "", "invoice.*": "", "invoice.line.*": "", "invoice.line.added": "",
		"call.complete": "events[0] is not an event type that there is",
		"call":          "events[0] is not an event type that there is",
		"changed.later": "events[0] is not an event type that there is",
		"foo.*":         "events[0] is a prefix of no event type that there is",
		"invoice.li.*":  "events[0] is a prefix of no event type that there is",
	} {
		_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{AccountID: "acme", URL: hookURL, Events: []webhook.EventType{typ}})
		if message == "" {
			require.NoError(t, err, typ)
			continue
		}
		assert.Equal(t, "invalid_events", coded(t, err).Code(), typ)
		assert.Equal(t, message, coded(t, err).Message())
	}
	_, err := webhook.New(webhook.Config{Store: r.store, EventTypes: []webhook.EventType{"a.b", "a.*", "*", ""}})
	for _, field := range []string{"EventTypes[1]", "EventTypes[2]", "EventTypes[3]"} {
		assert.ErrorContains(t, err, field)
	}
	assert.NotContains(t, err.Error(), "EventTypes[0]")
}

func TestSendTestShowsTheRequestWithoutTheCustomersSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ context.Context, req *webhook.Request) (*webhook.Response, error) {
		req.Header.Set("Proxy-Authorization", "of the platform")
		return &webhook.Response{StatusCode: 204}, nil
	})
	ep, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
		AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"call.*"}, Headers: webhook.Headers{"authorization": "Bearer 5f4dcc3b"},
	})
	require.NoError(t, err)
	for typ, subscribed := range map[webhook.EventType]bool{"call.recording.ready": true, webhook.EventCreditsLow: false} {
		res, err := r.SendTest(t.Context(), "acme", ep.ID, typ)
		require.NoError(t, err)
		assert.Equal(t, subscribed, res.Subscribed, typ)
		sent := r.transport.requests()
		last := sent[len(sent)-1]
		assert.Equal(t, "Bearer 5f4dcc3b", last.Header.Get("Authorization"))
		want := last.Header.Clone()
		want.Set("Authorization", "[redacted]")
		want.Del("Proxy-Authorization") // what a Transport adds is its own
		assert.Equal(t, webhook.TestRequest{URL: hookURL, Headers: want, Body: last.Body}, res.Request)
		require.NoError(t, webhook.Verify(res.Request.Body, res.Request.Headers, secretOf(t, r, ep.ID)), "as it was signed")
	}
}
