package webhooktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/memstore"
	"github.com/ringyo-ai/webhook/webhooktest"
)

func TestRecorderKeepsWhatReceiversWouldGet(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	for _, typ := range append(webhook.EventTypes(), "call.recording.ready") {
		e := webhooktest.Sample(t, "acc_1", typ)
		require.NoError(t, rec.Emit(t.Context(), e))

		got := rec.Events()[len(rec.Events())-1]
		assert.Equal(t, e.ID, got.ID)
		assert.Equal(t, typ, got.Type)
		assert.Equal(t, "acc_1", got.AccountID)
		assert.Empty(t, got.EndpointID)
		assert.Equal(t, e.Timestamp, got.Timestamp)
		assert.IsType(t, e.Data, got.Data)
		want, err := json.Marshal(e.Data)
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(got.Raw))
	}
	rec.AssertEmitted("acc_1", append(webhook.EventTypes(), "call.recording.ready")...)
}

func TestRecorderFillsInWhatEmitFillsIn(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	data := webhook.SampleData(webhook.EventCallCompleted).(webhook.CallCompleted)
	data.Status = ""
	require.NoError(t, rec.Emit(t.Context(), webhook.NewCallCompleted("acc_1", data)))
	got := webhooktest.One[webhook.CallCompleted](rec, "acc_1")
	assert.Equal(t, webhook.CallStatusCompleted, got.Status)
	data.Metadata["campaign"] = "changed"
	assert.Equal(t, "follow_up", got.Metadata["campaign"], "it is a copy")
}

func TestRecorderReturnsTheErrorsOfAnEngine(t *testing.T) {
	t.Parallel()
	engine, err := webhook.New(webhook.Config{Store: memstore.New()})
	require.NoError(t, err)
	rec := webhooktest.NewRecorder(t)

	taken := webhook.NewCreditsLow("acc_1", webhook.CreditsLow{Balance: 1})
	conflict := taken
	conflict.Data = webhook.CreditsLow{Balance: 2}
	large, err := webhook.NewEvent("acc_1", "x.y", strings.Repeat("x", 1<<20))
	require.NoError(t, err)
	for _, d := range []webhook.Dispatcher{engine, rec} {
		require.NoError(t, d.Emit(t.Context(), taken))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx   context.Context
		event webhook.Event
		want  error
	}{
		"invalid":        {t.Context(), webhook.NewCallCompleted("acc_1", webhook.CallCompleted{}), webhook.ErrInvalidArgument},
		"too large":      {t.Context(), large, webhook.ErrPayloadTooLarge},
		"id used before": {t.Context(), conflict, webhook.ErrIDConflict},
		"context ended":  {ended, webhook.NewCreditsLow("acc_1", webhook.CreditsLow{}), context.Canceled},
	} {
		fine := webhook.NewCreditsLow("acc_1", webhook.CreditsLow{})
		want := engine.Emit(tt.ctx, fine, tt.event)
		require.ErrorIs(t, want, tt.want, name)
		assert.EqualError(t, rec.Emit(tt.ctx, fine, tt.event), want.Error(), name)
	}
	assert.Len(t, rec.Events(), 1, "all or nothing")
}

func TestEventsReturnsACopy(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	require.NoError(t, rec.Emit(t.Context(), webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)))
	rec.Events()[0].AccountID = "changed"
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
}

func TestAConflictRecordsNothingOfItsGroup(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	taken := webhook.NewCreditsLow("acc_1", webhook.CreditsLow{Balance: 1})
	require.NoError(t, rec.Emit(t.Context(), taken))
	conflict := taken
	conflict.Data = webhook.CreditsLow{Balance: 2}
	fine := webhook.NewCreditsLow("acc_1", webhook.CreditsLow{Balance: 3})

	require.ErrorIs(t, rec.Emit(t.Context(), fine, conflict), webhook.ErrIDConflict)
	tx := rec.Begin()
	require.ErrorIs(t, rec.EmitTx(t.Context(), tx, fine, conflict), webhook.ErrIDConflict)
	require.NoError(t, tx.Commit(), "a conflict does not end the transaction")
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
}

func TestRecorderRecordsARepeatedEventOnce(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	e := webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)
	require.NoError(t, rec.Emit(t.Context(), e))
	require.NoError(t, rec.Emit(t.Context(), e))
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
	rec.Reset()
	require.NoError(t, rec.Emit(t.Context(), e))
	rec.AssertEmitted("acc_1")
}

func TestRecorderKeepsAccountsApart(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	low := func(account string, balance int64) webhook.Event {
		return webhook.NewCreditsLow(account, webhook.CreditsLow{Balance: balance})
	}
	require.NoError(t, rec.Emit(t.Context(), low("acc_1", 1), low("acc_2", 2), low("acc_1", 3)))
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow, webhook.EventCreditsLow)
	rec.AssertEmitted("acc_3")
	assert.Equal(t, []webhook.CreditsLow{{Balance: 1}, {Balance: 3}}, webhooktest.All[webhook.CreditsLow](rec, "acc_1"))
	assert.Equal(t, webhook.CreditsLow{Balance: 2}, webhooktest.One[webhook.CreditsLow](rec, "acc_2"))
	assert.Empty(t, webhooktest.All[webhook.AgentCreated](rec, "acc_1"))
}

func TestAssertionsFailTheTest(t *testing.T) {
	t.Parallel()
	report := &failingTest{}
	rec := webhooktest.NewRecorder(report)
	require.NoError(t, rec.Emit(t.Context(), webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)))

	assert.False(t, rec.AssertEmitted("acc_1"))
	assert.False(t, rec.AssertEmitted("acc_1", webhook.EventAgentCreated))
	assert.False(t, rec.AssertEmitted("acc_2", webhook.EventCreditsLow))
	assert.True(t, rec.AssertEmitted("acc_1", webhook.EventCreditsLow))
	assert.Len(t, report.failures, 3)
	assert.Contains(t, report.failures[0], "credits.low")

	text := fatally(t, func() { webhooktest.One[webhook.AgentCreated](rec, "acc_1") })
	assert.Contains(t, text, "0 events of type agent.created, want 1")
}

func TestFailNextFailsOneCallEach(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	e := webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)
	down := errors.New("database is down")
	rec.FailNext(down, nil, webhook.ErrUnknownOutcome)
	require.ErrorIs(t, rec.Emit(t.Context(), e), down)
	rec.AssertEmitted("acc_1")
	require.NoError(t, rec.Emit(t.Context(), e))
	require.ErrorIs(t, rec.EmitTx(t.Context(), rec.Begin(), e), webhook.ErrUnknownOutcome)
	require.NoError(t, rec.Emit(t.Context(), e))
}

func TestTxRecordsOnCommitOnly(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	e := webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)

	tx := rec.Begin()
	require.NoError(t, rec.EmitTx(t.Context(), tx, e))
	rec.AssertEmitted("acc_1")
	require.NoError(t, tx.Rollback())
	require.ErrorIs(t, tx.Commit(), memstore.ErrTxDone)
	rec.AssertEmitted("acc_1")

	tx = rec.Begin()
	require.NoError(t, rec.EmitTx(t.Context(), tx, e))
	require.NoError(t, tx.Commit())
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
	require.ErrorIs(t, tx.Commit(), memstore.ErrTxDone)
	require.ErrorIs(t, tx.Rollback(), memstore.ErrTxDone)
	require.Error(t, rec.EmitTx(t.Context(), tx, e))
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
}

func TestAnInvalidEventLeavesTheTransactionAlone(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	tx := rec.Begin()
	require.NoError(t, rec.EmitTx(t.Context(), tx, webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)))
	require.ErrorIs(t, rec.EmitTx(t.Context(), tx, webhook.Event{}), webhook.ErrInvalidArgument)
	require.ErrorIs(t, rec.EmitTx(t.Context(), nil, webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)), webhook.ErrInvalidArgument)
	require.NoError(t, tx.Commit())
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
}

func TestAnotherEnqueuerIsCalledAndRecorded(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	other := memstore.New()
	tx := other.Begin()
	e := webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)
	require.NoError(t, rec.EmitTx(t.Context(), tx, e))
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
	require.NoError(t, tx.Commit())
	_, err := other.GetEvent(t.Context(), "acc_1", e.ID)
	require.NoError(t, err)

	conflict := e
	conflict.Data = webhook.CreditsLow{Balance: 7}
	require.ErrorIs(t, rec.EmitTx(t.Context(), other.Begin(), conflict), webhook.ErrIDConflict)
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
}

func TestRecorderKeepsTheOrderOfStartAndStop(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	require.NoError(t, rec.Stop(t.Context()), "Stop before Start does nothing")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, rec.Start(ended), context.Canceled)
	require.NoError(t, rec.Start(t.Context()))
	require.ErrorIs(t, rec.Start(t.Context()), webhook.ErrStarted)
	require.NoError(t, rec.Stop(t.Context()))
	require.NoError(t, rec.Stop(t.Context()))
	require.ErrorIs(t, rec.Start(t.Context()), webhook.ErrStopped)
	require.NoError(t, rec.Emit(t.Context(), webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)), "Emit works after Stop")
	rec.AssertEmitted("acc_1", webhook.EventCreditsLow)
}

func TestRecorderTakesConcurrentCalls(t *testing.T) {
	t.Parallel()
	rec := webhooktest.NewRecorder(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			tx := rec.Begin()
			assert.NoError(t, rec.Emit(t.Context(), webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)))
			assert.NoError(t, rec.EmitTx(t.Context(), tx, webhooktest.Sample(t, "acc_1", webhook.EventCreditsLow)))
			assert.NoError(t, tx.Commit())
			rec.Events()
		})
	}
	wg.Wait()
	assert.Len(t, rec.Events(), 40)
}
