package webhook_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhooktest"
)

// enqueueCounter counts the calls of Enqueue.
type enqueueCounter struct {
	*memstore.Store
	calls atomic.Int64
}

func (s *enqueueCounter) Enqueue(ctx context.Context, r webhook.EnqueueRequest) (webhook.Enqueued, error) {
	s.calls.Add(1)
	return s.Store.Enqueue(ctx, r)
}

func TestWhatEmitRefusesNeverReachesTheStore(t *testing.T) {
	t.Parallel()
	store := &enqueueCounter{Store: memstore.New()}
	engine, err := webhook.New(webhook.Config{Store: store, MaxPayload: 1000})
	require.NoError(t, err)
	fine := webhook.NewCreditsLow("acc_1", webhook.CreditsLow{Balance: 1, Threshold: 2})
	for name, tt := range map[string]struct {
		data any
		typ  webhook.EventType
		want error
	}{
		"nested too deep":          {json.RawMessage(strings.Repeat("[", 64) + strings.Repeat("]", 64)), "x.y", webhook.ErrInvalidArgument},
		"C1 half a surrogate pair": {json.RawMessage(`"\ud83d"`), "x.y", webhook.ErrInvalidArgument},
		"C2 nothing":               {json.RawMessage{}, "x.y", webhook.ErrInvalidArgument},
		"C3 another payload":       {webhook.CreditsLow{}, webhook.EventCallFailed, webhook.ErrInvalidArgument},
		"C4 too large":             {json.RawMessage(`"` + string(make([]byte, 1000)) + `"`), "x.y", webhook.ErrPayloadTooLarge},
		"C5 channel":               {make(chan int), "x.y", webhook.ErrInvalidArgument},
		"C6 NaN":                   {webhook.CallCompleted{Transcript: []webhook.TranscriptTurn{{Timestamp: nan()}}}, webhook.EventCallCompleted, webhook.ErrInvalidArgument},
		"C9 type":                  {1, "a b", webhook.ErrInvalidArgument},
	} {
		bad := fine
		bad.ID, bad.Type, bad.Data = "evt_bad", tt.typ, tt.data
		require.ErrorIs(t, engine.Emit(t.Context(), fine, bad), tt.want, name)
		require.ErrorIs(t, engine.EmitTx(t.Context(), store, fine, bad), tt.want, name)
	}
	assert.Zero(t, store.calls.Load())
	require.NoError(t, engine.Emit(t.Context(), fine))
	assert.Equal(t, int64(1), store.calls.Load())
}

// With the envelope around it receivers in every language read it.
func TestEmitTakesDataThatIsNested63Deep(t *testing.T) {
	t.Parallel()
	engine, err := webhook.New(webhook.Config{Store: memstore.New()})
	require.NoError(t, err)
	deep := func(n int) (v any) {
		for range n {
			v = []any{v}
		}
		return v
	}
	brackets := `{"[\\\"[":"{[\\"}` // those in strings do not count
	for data, ok := range map[any]bool{
		strings.Repeat("[", 62) + brackets + strings.Repeat("]", 62): true,
		strings.Repeat("[", 63) + brackets + strings.Repeat("]", 63): false,
	} {
		raw, err := webhook.NewEvent("acc_1", "x.y", json.RawMessage(data.(string)))
		require.NoError(t, err)
		assert.Equal(t, ok, engine.Emit(t.Context(), raw) == nil, data)
	}
	for n, ok := range map[int]bool{63: true, 64: false} {
		encoded, err := webhook.NewEvent("acc_1", "x.y", deep(n))
		require.NoError(t, err)
		assert.Equal(t, ok, engine.Emit(t.Context(), encoded) == nil, n)
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

// What a Verifier hands out can be emitted, as a gateway does.
func TestAVerifiedEventCanBePassedOn(t *testing.T) {
	t.Parallel()
	secret := webhook.NewSecret()
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	require.NoError(t, err)
	rec := webhooktest.NewRecorder(t)
	for _, typ := range append(webhook.EventTypes(), "call.recording.ready") {
		sent := webhooktest.Sample(t, "acc_1", typ)
		e, err := v.VerifyRequest(webhooktest.NewRequest(t, secret, sent))
		require.NoError(t, err)
		e.AccountID = "acc_2"
		require.NoError(t, rec.Emit(t.Context(), e))

		got := rec.Events()[len(rec.Events())-1]
		assert.Equal(t, sent.ID, got.ID)
		assert.Equal(t, sent.Timestamp, got.Timestamp)
		assert.Equal(t, string(e.Raw), string(got.Raw), typ)
	}
}

// nginx lets 1 MiB through unless its owner says otherwise, so that the largest event
// that is emitted by default fits into that, whatever its ids and type.
func TestTheLargestBodyFitsIntoAMebibyte(t *testing.T) {
	t.Parallel()
	r := newRig(t, status(200))
	_, _, err := r.CreateEndpoint(t.Context(), webhook.EndpointParams{
		ID: strings.Repeat("w", 64), AccountID: "acme", URL: hookURL, Events: []webhook.EventType{"*"},
	})
	require.NoError(t, err)
	event := func(size int) webhook.Event {
		e, err := webhook.NewEvent("acme", webhook.EventType(strings.Repeat("t", 128)), json.RawMessage(`"`+strings.Repeat("x", size-2)+`"`))
		require.NoError(t, err)
		e.ID, e.Timestamp = strings.Repeat("e", 64), time.Date(2024, 1, 15, 10, 30, 0, 1e6, time.UTC)
		return e
	}
	const most = 1<<20 - 4<<10
	require.ErrorIs(t, r.Emit(t.Context(), event(most+1)), webhook.ErrPayloadTooLarge)
	require.NoError(t, r.Emit(t.Context(), event(most)))
	_, err = r.DeliverDue(t.Context())
	require.NoError(t, err)
	require.Len(t, r.transport.requests(), 1)
	body := r.transport.requests()[0].Body
	assert.LessOrEqual(t, len(body), 1<<20)
	assert.GreaterOrEqual(t, len(body), most+64+128+64, "with the longest ids and type")
}
