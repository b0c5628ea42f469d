package webhook

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestEnvelopeIsAFixedRendering(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		ts   time.Time
		data string
		want string
	}{
		{
			"whole second", at, `{"call_id":"call_1"}`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"call_id":"call_1"}}`,
		},
		{
			"milliseconds have three digits", at.Add(40 * time.Millisecond), `null`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00.040Z","webhook_id":"wh_1","data":null}`,
		},
		{
			"what is finer is cut off", at.Add(999_999), `1`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":1}`,
		},
		{
			"another zone becomes UTC", at.In(time.FixedZone("", 3600)), `""`,
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":""}`,
		},
		{
			"C8: data goes in as it is", at, "{ \"b\":1, \"a\":9223372036854775809,\"a\":-0.0,\"h\":\"<&>\u2028\\u003c\" }",
			`{"id":"evt_1","event":"call.completed","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":` +
				"{ \"b\":1, \"a\":9223372036854775809,\"a\":-0.0,\"h\":\"<&>\u2028\\u003c\" }}",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := appendEnvelope([]byte("x"), "evt_1", EventCallCompleted, tc.ts, "wh_1", []byte(tc.data))
			assert.Equal(t, "x"+tc.want, string(got))
		})
	}
}

func TestEnvelopeEscapesWhatAStoreMadeUp(t *testing.T) {
	t.Parallel()
	got := appendEnvelope(nil, "e\"vt\n", "a\\b", time.Unix(0, 0), `","data":"é`, []byte("1"))
	assert.JSONEq(t, `{"id":"e\"vt\n","event":"a\\b","timestamp":"1970-01-01T00:00:00Z","webhook_id":"\",\"data\":\"é","data":1}`, string(got))
}

func TestEnvelopeFitsItsOverhead(t *testing.T) {
	t.Parallel()
	ts := time.Date(2024, 1, 15, 10, 30, 0, 1e6, time.UTC)
	assert.Len(t, appendEnvelope(nil, "id", "t", ts, "wh", []byte("d")), envelopeOverhead+len("id"+"t"+"wh"+"d"))
}
