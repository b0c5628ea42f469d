package storetest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
)

// Of each request with an idempotency key in the cases.
const (
	running = 10 * time.Minute
	keep    = 24 * time.Hour
)

func request(key, fingerprint string) webhook.IdempotencyBegin {
	return webhook.IdempotencyBegin{AccountID: acct, Key: key, Fingerprint: fingerprint, Running: running, Keep: keep}
}

// mark begins a request whose key must be free.
func (e *env) mark(b webhook.IdempotencyBegin) webhook.IdempotencyMark {
	e.Helper()
	begun, err := e.store.BeginIdempotent(e.ctx, b)
	e.must("BeginIdempotent", err)
	if begun.Token == 0 || begun.Response != nil {
		e.Fatalf("BeginIdempotent of a free key: got %+v, want a mark", begun)
	}
	return webhook.IdempotencyMark{AccountID: b.AccountID, Key: b.Key, Token: begun.Token}
}

// refused begins a request that must not run.
func (e *env) refused(what string, b webhook.IdempotencyBegin, want error) {
	e.Helper()
	begun, err := e.store.BeginIdempotent(e.ctx, b)
	e.wantErr(what, err, want)
	e.check(begun.Token == 0 && begun.Response == nil, "%s: got %+v with an error", what, begun)
}

// repeated begins a request that must have a response.
func (e *env) repeated(what string, b webhook.IdempotencyBegin, want string) {
	e.Helper()
	begun, err := e.store.BeginIdempotent(e.ctx, b)
	e.must("BeginIdempotent of "+what, err)
	e.check(begun.Token == 0, "%s: got a new mark, want a response", what)
	same(e, "response of "+what, string(begun.Response), want)
}

// responds makes the response to a change: what the store says of the endpoint.
func responds(m webhook.IdempotencyMark) *webhook.IdempotencyFinish {
	return &webhook.IdempotencyFinish{Mark: m, Response: func(r webhook.EndpointRecord) ([]byte, error) { return responseTo(r), nil }}
}

func responseTo(r webhook.EndpointRecord) []byte {
	return []byte(r.ID + " " + r.Description + " " + r.UpdatedAt.UTC().Format(time.RFC3339Nano) + " " + r.Secrets[0].Secret.Reveal())
}

// createWith creates an endpoint with a response.
func (e *env) createWith(id string, f *webhook.IdempotencyFinish) (webhook.EndpointRecord, error) {
	return e.store.CreateEndpoint(e.ctx, webhook.EndpointCreate{Record: record(acct, id, "*"), Max: 2, Idempotency: f})
}

// describe changes an endpoint with a response.
func (e *env) describe(id, text string, f *webhook.IdempotencyFinish) (webhook.EndpointRecord, error) {
	r := e.get(id)
	r.Description = text
	return e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: r, Idempotency: f})
}

// noEndpoint checks that a call which failed has created nothing.
func (e *env) noEndpoint(id string) {
	e.Helper()
	_, err := e.store.GetEndpoint(e.ctx, acct, id)
	e.wantErr("GetEndpoint of what was not created", err, webhook.ErrNotFound)
}

var idempotencyRules = []rule{
	{
		name:     "OneRequestHasAKey",
		sentence: "BeginIdempotent begins a request, unless the account has used the key before: it returns its response, fails with ErrIdempotencyRunning while it has none, and with ErrIdempotencyReused if the fingerprint is another. Keys are any bytes.",
		run: func(e *env) {
			responses := map[string]string{"a": "{}\n", "A": "\x00\xff'\\", "a ": "", "\xff\x00": "é"}
			for key, response := range responses {
				m := e.mark(request(key, "f\x00"))
				e.refused("the same while it runs", request(key, "f\x00"), webhook.ErrIdempotencyRunning)
				e.refused("another fingerprint while it runs", request(key, "F\x00"), webhook.ErrIdempotencyReused)
				b := request(key, "f\x00")
				b.AccountID = other
				e.mark(b)
				data := []byte(response)
				e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, m, data))
				clear(data)
				e.must("FinishIdempotent once more", e.store.FinishIdempotent(e.ctx, m, []byte("another")))
				e.must("AbandonIdempotent", e.store.AbandonIdempotent(e.ctx, m))
			}
			for key, response := range responses {
				e.refused("another fingerprint", request(key, "F\x00"), webhook.ErrIdempotencyReused)
				begun, err := e.store.BeginIdempotent(e.ctx, request(key, "f\x00"))
				e.must("BeginIdempotent", err)
				clear(begun.Response)
				e.repeated("the request", request(key, "f\x00"), response)
			}
		},
	},
	{
		name:     "MarksEndAfterRunning",
		sentence: "Without a response the mark is replaced by a new one when its request can no longer run, whatever its fingerprint; FinishIdempotent fails with ErrIdempotencyRunning when there is no such mark any more.",
		run: func(e *env) {
			first, late := e.mark(request("1", "f")), e.mark(request("2", "f"))
			e.advance(running / 2)
			e.refused("the same within Running", request("1", "f"), webhook.ErrIdempotencyRunning)
			e.advance(running)
			second := e.mark(request("1", "g"))
			e.wantErr("FinishIdempotent of a mark that was replaced", e.store.FinishIdempotent(e.ctx, first, []byte("first")), webhook.ErrIdempotencyRunning)
			e.must("AbandonIdempotent of a mark that was replaced", e.store.AbandonIdempotent(e.ctx, first))
			e.refused("the request that took the key over", request("1", "g"), webhook.ErrIdempotencyRunning)
			e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, second, []byte("second")))
			e.must("FinishIdempotent of a mark that nobody has replaced", e.store.FinishIdempotent(e.ctx, late, []byte("late")))
			e.advance(2 * running)
			e.repeated("the request that took the key over", request("1", "g"), "second")
			e.repeated("the request that was late", request("2", "f"), "late")
		},
	},
	{
		name:     "KeysAreFreeAfterKeep",
		sentence: "A key is remembered for Keep, by the store's clock, whatever Retention is, and free then.",
		run: func(e *env) {
			e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, e.mark(request("1", "f")), []byte("1")))
			e.h.Advance(e.TB, e.store, keep-time.Hour)
			e.maintainWith(webhook.MaintainRequest{Limit: 1, Retention: time.Minute})
			e.repeated("a request within Keep", request("1", "f"), "1")
			e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, e.mark(request("2", "f")), []byte("2")))
			e.advance(2 * time.Hour)
			m := e.mark(request("1", "another"))
			e.repeated("a later request within Keep", request("2", "f"), "2")
			e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, m, []byte("again")))
			e.repeated("a request with a key that was free again", request("1", "another"), "again")
		},
	},
	{
		name:     "AbandonedKeysAreFree",
		sentence: "AbandonIdempotent removes a mark without a response, if it is there.",
		run: func(e *env) {
			m := e.mark(request("1", "f"))
			e.must("AbandonIdempotent", e.store.AbandonIdempotent(e.ctx, m))
			e.must("AbandonIdempotent once more", e.store.AbandonIdempotent(e.ctx, m))
			e.wantErr("FinishIdempotent", e.store.FinishIdempotent(e.ctx, m, nil), webhook.ErrIdempotencyRunning)
			e.mark(request("1", "g"))
		},
	},
	{
		name:     "OneOfTwoRequestsAtOnceRuns",
		sentence: "Of two calls at once, one gets the mark.",
		run: func(e *env) {
			for _, key := range []string{"new", "abandoned"} { // by the request that ran before
				if key == "abandoned" {
					e.mark(request(key, "f"))
					e.advance(2 * running)
				}
				var marks atomic.Int32
				parallel(racedCallers, func(int) {
					switch begun, err := e.store.BeginIdempotent(e.ctx, request(key, "f")); {
					case err == nil && begun.Token != 0:
						marks.Add(1)
					case !errors.Is(err, webhook.ErrIdempotencyRunning):
						e.Errorf("BeginIdempotent: got %+v, error %v, want ErrIdempotencyRunning", begun, err)
					}
				})
				same(e, "marks of a key that was "+key, marks.Load(), 1)
			}
		},
	},
	{
		name:     "ResponsesAreStoredWithTheEndpoint",
		sentence: "EndpointCreate and EndpointUpdate store a response together with the change; it is made of the endpoint as the call returns it.",
		run: func(e *env) {
			made, err := e.createWith("wh_1", responds(e.mark(request("1", "f"))))
			e.must("CreateEndpoint", err)
			e.repeated("the creation", request("1", "f"), string(responseTo(made)))
			changed, err := e.describe("wh_1", "changed", responds(e.mark(request("2", "f"))))
			e.must("UpdateEndpoint", err)
			e.repeated("the change", request("2", "f"), string(responseTo(changed)))
			e.delete("wh_1")
			e.repeated("the creation of what was deleted", request("1", "f"), string(responseTo(made)))
		},
	},
	{
		name:     "AChangeThatFailsHasNoResponse",
		sentence: "If the change fails no response is stored; if making the response fails, nothing changes.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			m := e.mark(request("1", "f"))
			_, err := e.createWith("wh_1", responds(m))
			e.wantErr("CreateEndpoint with an id in use", err, webhook.ErrIDConflict)
			_, err = e.store.UpdateEndpoint(e.ctx, webhook.EndpointUpdate{Record: record(acct, "wh_none", "*"), Idempotency: responds(m)})
			e.wantErr("UpdateEndpoint of no endpoint", err, webhook.ErrNotFound)
			e.refused("the request", request("1", "f"), webhook.ErrIdempotencyRunning)

			no := errors.New("no response")
			refuses := &webhook.IdempotencyFinish{Mark: m, Response: func(webhook.EndpointRecord) ([]byte, error) { return []byte("x"), no }}
			_, err = e.createWith("wh_2", refuses)
			e.wantErr("CreateEndpoint without a response", err, no)
			e.noEndpoint("wh_2")
			_, err = e.describe("wh_1", "changed", refuses)
			e.wantErr("UpdateEndpoint without a response", err, no)
			sameConfig(e, "the endpoint", e.get("wh_1"), was)
			same(e, "Revision", e.get("wh_1").Revision, was.Revision)
			e.refused("the request", request("1", "f"), webhook.ErrIdempotencyRunning)

			made, err := e.createWith("wh_2", responds(m))
			e.must("CreateEndpoint in the end", err)
			e.repeated("the request", request("1", "f"), string(responseTo(made)))
		},
	},
	{
		name:     "WithoutItsMarkNothingChanges",
		sentence: "If the mark is not there any more, or has a response, a call that would store one fails with ErrIdempotencyRunning, and nothing changes.",
		run: func(e *env) {
			was := e.endpoint("wh_1")
			lost, used := e.mark(request("1", "f")), e.mark(request("2", "f"))
			e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, used, []byte("used")))
			e.advance(2 * running)
			e.mark(request("1", "f"))
			for what, m := range map[string]webhook.IdempotencyMark{"a mark that was replaced": lost, "a mark that was used": used, "no mark": {AccountID: acct, Key: "3", Token: 1}} {
				_, err := e.createWith("wh_2", responds(m))
				e.wantErr("CreateEndpoint with "+what, err, webhook.ErrIdempotencyRunning)
				e.noEndpoint("wh_2")
				_, err = e.describe("wh_1", "changed", responds(m))
				e.wantErr("UpdateEndpoint with "+what, err, webhook.ErrIdempotencyRunning)
				same(e, "Revision", e.get("wh_1").Revision, was.Revision)
			}
			e.repeated("the request that was done", request("2", "f"), "used")
		},
	},
	{
		name:     "DeletingAnAccountRemovesItsKeys",
		sentence: "DeleteAccount removes the idempotency keys of an account, about Limit in a call.",
		run: func(e *env) {
			keys := []string{"1", "2", "3"}
			b := request("1", "f")
			b.AccountID = other
			e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, e.mark(b), []byte("other")))
			for _, key := range keys {
				e.must("FinishIdempotent", e.store.FinishIdempotent(e.ctx, e.mark(request(key, "f")), []byte(key)))
			}
			for cursor, calls := "", 1; ; calls++ {
				d, err := e.store.DeleteAccount(e.ctx, webhook.AccountDelete{AccountID: acct, Cursor: cursor, Limit: 2})
				e.must("DeleteAccount", err)
				if cursor = d.Next; cursor == "" {
					break
				}
				e.check(calls < 10, "DeleteAccount has no end")
			}
			for _, key := range keys {
				e.mark(request(key, "g"))
			}
			e.repeated("another account's request", b, "other")
		},
	},
}
