package signature_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook/internal/signature"
)

func sum(key, head, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(head)
	h.Write(body)
	return h.Sum(nil)
}

// The standard library's HMAC is the one to equal, around the block size of the hash
// above all.
func TestMACEqualsCryptoHMAC(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 24, 63, 64, 65, 200} {
		for _, length := range []int{0, 1, 55, 56, 64, 1000} {
			key, body := bytes.Repeat([]byte{7}, size), bytes.Repeat([]byte{'x'}, length)
			k := signature.NewKey(key)
			m := signature.Get()
			head := append(m.Buffer(), "evt_1.1705314600."...)
			want := sum(key, head, body)
			assert.Equal(t, "+v1,"+base64.StdEncoding.EncodeToString(want), string(m.AppendStandard([]byte("+"), &k, head, body)))
			assert.Equal(t, "+v1="+hex.EncodeToString(want), string(m.AppendTimestamped([]byte("+"), &k, head, body)))
			m.Put()
		}
	}
}

func TestBufferHasRoomForTheLongestHead(t *testing.T) {
	t.Parallel()
	m := signature.Get()
	defer m.Put()
	assert.Empty(t, m.Buffer())
	assert.GreaterOrEqual(t, cap(m.Buffer()), signature.MaxID+1+signature.MaxTimestampDigits+1)
}

func list(t *testing.T, text string) signature.List {
	t.Helper()
	l, ok := signature.Standard(text)
	require.True(t, ok)
	return l
}

func TestStandardListIsSearchedForTheMAC(t *testing.T) {
	t.Parallel()
	k, head, body := signature.NewKey([]byte("key")), []byte("evt_1.1."), []byte("{}")
	m := signature.Get()
	defer m.Put()
	good := string(m.AppendStandard(nil, &k, head, body))
	other := "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, tc := range []struct {
		name, text   string
		holds, match bool
	}{
		{"alone", good, true, true},
		{"another alone", other, true, false},
		{"first", good + " " + other, true, true},
		{"last", other + " " + good, true, true},
		{"after what is not known", "v2,abc v1a,x nonsense " + good, true, true},
		{"spaces around", "  " + good + "  ", true, true},
		{"several spaces between", other + "   " + good, true, true},
		{"a tab before", "\t" + good, false, false},
		{"a tab after", good + "\t", false, false},
		{"a tab between", other + "\t" + good, false, false},
		{"a tab and a space between", other + "\t " + good, true, true},
		{"a line end between", other + "\n" + good, false, false},
		{"a no-break space between", other + "\u00a0" + good, false, false},
		{"a comma and a space between", other + ", " + good, true, true},
		{"a semicolon between", other + ";" + good, false, false},
		{"nothing", "", false, false},
		{"of another version", "v2" + good[2:], false, false},
		{"shorter", good[:len(good)-1], false, false},
		{"longer", good + "=", false, false},
		{"after as many as are looked at", strings.Repeat(other+" ", 32) + good, true, false},
		{"the last that is looked at", strings.Repeat(other+" ", 31) + good, true, true},
		{"between commas", other + "," + good, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := signature.Get()
			defer m.Put()
			l := list(t, tc.text)
			assert.Equal(t, tc.holds, l.HoldsStandard())
			assert.Equal(t, tc.match, m.MatchStandard(&k, head, body, l) == 1)
			assert.Zero(t, m.MatchStandard(&k, head, []byte("{ }"), l))
		})
	}
}

func TestTimestampedListHasOneTimestampAndAnyNumberOfMACs(t *testing.T) {
	t.Parallel()
	k, head, body := signature.NewKey([]byte("key")), []byte("17."), []byte("{}")
	m := signature.Get()
	defer m.Put()
	good := string(m.AppendTimestamped(nil, &k, head, body))
	for _, tc := range []struct {
		name, text       string
		timestamp        string
		ok, holds, match bool
	}{
		{"usual", "t=17," + good, "17", true, true, true},
		{"the other way round", good + ",t=17", "17", true, true, true},
		{"a space after the timestamp", "t=17 ," + good, "", false, true, true},
		{"a space after the comma", "t=17, " + good, "", false, false, false},
		{"a space in place of the comma", "t=17 " + good, "", false, false, false},
		{"a tab", "t=17,\t" + good, "", false, false, false},
		{"a space at the end", "t=17," + good + " ", "", false, false, false},
		{"two headers joined", "t=17," + good + ", t=18", "", false, true, true},
		{"several commas", "t=17,," + good + ",", "17", true, true, true},
		{"a semicolon", "t=17;" + good, "17;" + good, true, false, false},
		{"two timestamps", "t=17,t=18," + good, "18", false, true, true},
		{"no timestamp", good, "", false, true, true},
		{"no signature", "t=17", "17", true, false, false},
		{"capitals", "t=17,v1=" + strings.ToUpper(good[3:]), "17", true, true, false},
		{"of version 0", "t=17,v0=" + good[3:], "17", true, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := signature.Get()
			defer m.Put()
			l, ok := signature.Timestamped(tc.text)
			require.True(t, ok)
			timestamp, one := l.Timestamp()
			assert.Equal(t, tc.timestamp, timestamp)
			assert.Equal(t, tc.ok, one)
			assert.Equal(t, tc.holds, l.HoldsTimestamped())
			assert.Equal(t, tc.match, m.MatchTimestamped(&k, head, body, l) == 1)
		})
	}
}

func TestListsAreNotLong(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]bool{0: true, 4 << 10: true, 4<<10 + 1: false} {
		_, ok := signature.Standard(strings.Repeat("a", length))
		assert.Equal(t, want, ok, length)
		_, ok = signature.Timestamped(strings.Repeat("a", length))
		assert.Equal(t, want, ok, length)
	}
}

func TestStandardListIsSearchedForEd25519(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := private.Public().(ed25519.PublicKey)
	head, body := []byte("evt_1.1."), []byte("{}")
	good := string(signature.AppendEd25519(nil, private, head, body))
	other := "v1a," + base64.StdEncoding.EncodeToString(make([]byte, 64))
	require.Equal(t, "v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("evt_1.1.{}"))), good)
	for name, tc := range map[string]struct {
		text string
		want int
	}{
		"alone":                          {good, 1},
		"another":                        {other, 0},
		"both":                           {other + " " + good, 1},
		"the last that is looked at":     {strings.Repeat(other+" ", signature.MaxEd25519-1) + good, 1},
		"after as many as are looked at": {strings.Repeat(other+" ", signature.MaxEd25519) + good, 0},
		"what does not decode is free":   {strings.Repeat("v1a,"+strings.Repeat("!", 88)+" ", 20) + good, 1},
		"a line end inside":              {good[:50] + "\n" + good[51:], 0},
		"nothing":                        {"", 0},
		"an HMAC's":                      {"v1," + good[4:], 0},
	} {
		assert.Equal(t, tc.want, list(t, tc.text).MatchEd25519(public, head, body), name)
		assert.Zero(t, list(t, tc.text).MatchEd25519(public, head, []byte("[]")), name)
	}
}

func TestAppendEd25519LeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	head := append(make([]byte, 0, 64), "evt_1.1."...)
	signature.AppendEd25519(nil, private, head, []byte("{}"))
	assert.Equal(t, make([]byte, 56), head[8:64])
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"": false, "evt_1": true, "a.b": false, "a b": false, "a~!": true, "é": false, "a\x7f": false,
		strings.Repeat("a", signature.MaxID): true, strings.Repeat("a", signature.MaxID+1): false,
	} {
		assert.Equal(t, want, signature.ValidID(s), "%q", s)
	}
}

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"0": 0, "1705314600": 1705314600, "999999999999": signature.MaxTimestamp,
		"": -1, "01": -1, "-1": -1, "+1": -1, "1.0": -1, " 1": -1, "1e3": -1, "1000000000000": -1, "١": -1,
	} {
		n, ok := signature.ParseTimestamp(s)
		if !ok {
			n = -1
		}
		assert.Equal(t, want, n, "%q", s)
	}
}
