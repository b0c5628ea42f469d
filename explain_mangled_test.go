package webhook_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ringyo-ai/webhook"
)

// explain returns what a Verifier says about a body and headers that it must refuse.
func explain(t *testing.T, body string, header http.Header) string {
	t.Helper()
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{receiverSecret}})
	require.NoError(t, err)
	err = v.Verify([]byte(body), header)
	require.Error(t, err)
	said := v.Explain([]byte(body), header, err)
	assert.NotContains(t, said, strings.TrimPrefix(receiverSecret.Reveal(), "whsec_"))
	return said
}

// The events that are mangled below, as they were sent: a type without a payload of
// its own, so that the data are the sender's own bytes.
const (
	sentHead = `{"id":"evt_1","event":"acme.thing","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":`
	// What Python writes.
	spacedHead = `{"id": "evt_1", "event": "acme.thing", "timestamp": "2024-01-15T10:30:00Z", "webhook_id": "wh_1", "data": `
	// What a map of Go, or sort_keys, puts behind the data.
	sortedTail = `,"event":"acme.thing","id":"evt_1","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1"}`
)

// What JSON libraries make of the data when the body is parsed and encoded again.
func TestExplainRecognisesJSONThatWasEncodedAgain(t *testing.T) {
	t.Parallel()
	compact := func(data string) string { return sentHead + data + "}" }
	spaced := func(data string) string { return spacedHead + data + "}" }
	for name, c := range map[string]struct{ sent, arrived string }{
		"Python":                              {`{"name":"Zoë","n":[1,2]}`, spaced(`{"name": "Zo\u00eb", "n": [1, 2]}`)},
		"Python, an emoji":                    {`{"name":"😀"}`, spaced(`{"name": "\ud83d\ude00"}`)},
		"Python, compact separators":          {`{"name":"Zoë"}`, compact(`{"name":"Zo\u00eb"}`)},
		"Python, escapes that were sent":      {`{"name":"Zo\u00eb"}`, spaced(`{"name": "Zo\u00eb"}`)},
		"Python, an exponent":                 {`{"a":1e3,"b":1E-5}`, spaced(`{"a": 1000.0, "b": 1e-05}`)},
		"Python, sort_keys":                   {`{"a":"<&>"}`, `{"data": {"a": "<&>"}, "event": "acme.thing", "id": "evt_1", "timestamp": "2024-01-15T10:30:00Z", "webhook_id": "wh_1"}`},
		"Python, spaces that were sent":       {`{"a": 1, "b": "ë"}`, compact(`{"a":1,"b":"ë"}`)},
		"JavaScript, 1.0":                     {`{"a":1.0}`, compact(`{"a":1}`)},
		"JavaScript, 1e3":                     {`{"a":1e3}`, compact(`{"a":1000}`)},
		"JavaScript, several numbers":         {`{"a":1.0,"b":1e3,"c":7,"d":[19.90]}`, compact(`{"a":1,"b":1000,"c":7,"d":[19.9]}`)},
		"JavaScript, 1E+2 and 0.10":           {`{"a":1E+2,"b":0.10}`, compact(`{"a":100,"b":0.1}`)},
		"JavaScript, 1e21":                    {`{"a":1e21}`, compact(`{"a":1e+21}`)},
		"JavaScript, many numbers":            {`{"a":[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0]}`, compact(`{"a":[1,2,3,4,5,6,7,8,9,10]}`)},
		"JavaScript, escapes undone":          {`{"a":"Zo\u00eb \/ \u003c"}`, compact(`{"a":"Zoë / <"}`)},
		"JavaScript, whole numbers as keys":   {`{"10":1,"9":2,"a":3}`, compact(`{"9":2,"10":1,"a":3}`)},
		"JavaScript, indented":                {`{"a":1}`, "{\n  \"id\": \"evt_1\",\n  \"event\": \"acme.thing\",\n  \"timestamp\": \"2024-01-15T10:30:00Z\",\n  \"webhook_id\": \"wh_1\",\n  \"data\": {\n    \"a\": 1\n  }\n}"},
		"PHP":                                 {`{"url":"https://a.example/ë"}`, compact(`{"url":"https:\/\/a.example\/\u00eb"}`)},
		"PHP, an empty object":                {`{"a":{},"b":[]}`, compact(`{"a":[],"b":[]}`)},
		"PHP, pretty":                         {`{"a":"/"}`, "{\n    \"id\": \"evt_1\",\n    \"event\": \"acme.thing\",\n    \"timestamp\": \"2024-01-15T10:30:00Z\",\n    \"webhook_id\": \"wh_1\",\n    \"data\": {\n        \"a\": \"\\/\"\n    }\n}"},
		"Ruby on Rails":                       {`{"a":"<b> & ë"}`, compact(`{"a":"\u003cb\u003e \u0026 ë"}`)},
		"Go":                                  {`{"b":1,"a":"<&>"}`, `{"data":{"b":1,"a":"\u003c\u0026\u003e"}` + sortedTail},
		"Go, all of it":                       {`{"a":1,"b":"&"}`, `{"data":{"a":1,"b":"\u0026"}` + sortedTail},
		"Go, U+2028":                          {"{\"a\":\"\u2028\"}", compact(`{"a":"\u2028"}`)},
		"Go, a float":                         {`{"a":100000000.0}`, compact(`{"a":100000000}`)},
		"Gson":                                {`{"a":"it's <a=b> & more"}`, compact(`{"a":"it\u0027s \u003ca\u003db\u003e \u0026 more"}`)},
		"Jackson, a double":                   {`{"a":1e10}`, compact(`{"a":1.0E10}`)},
		"System.Text.Json":                    {`{"a":"+49 ë \"x\" <'&>"}`, compact(`{"a":"\u002B49 \u00EB \u0022x\u0022 \u003C\u0027\u0026\u003E"}`)},
		"a Unicode escape that was unneeded":  {`{"a":"b"}`, compact(`{"a":"\u0062"}`)},
		"reordered keys and an &":             {`{"z":"Tom & Jerry","a":1}`, `{"data":{"z":"Tom \u0026 Jerry","a":1}` + sortedTail},
		"reordered data":                      {`{"z":"Tom & Jerry","a":1}`, `{"data":{"a":1,"z":"Tom & Jerry"}` + sortedTail},
		"null left out":                       {`{"a":null,"b":1}`, `{"event":"acme.thing","id":"evt_1","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1","data":{"b":1}}`},
		"a timestamp in another form":         {`{}`, strings.Replace(compact(`{}`), "10:30:00Z", "10:30:00+00:00", 1)},
		"JavaScript, digits lost":             {`{"a":12345678901234567890}`, compact(`{"a":12345678901234567000}`)},
		"PHP, digits lost":                    {`{"a":12345678901234567890}`, compact(`{"a":1.2345678901234567e+19}`)},
		"JavaScript, keys to the front":       {`{"b":1,"a":3,"7":2}`, compact(`{"7":2,"b":1,"a":3}`)},
		"JavaScript, minus zero":              {`{"a":-0,"b":-0.0,"c":0.0}`, compact(`{"a":0,"b":0,"c":0}`)},
		"Laravel, empty texts":                {`{"a":"","b":1.0,"c":""}`, compact(`{"a":null,"b":1,"c":null}`)},
		"many numbers beside empty values":    {`{"a":[],"b":null,"n":[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0,12.0]}`, compact(`{"a":[],"b":null,"n":[1,2,3,4,5,6,7,8,9,10,11,12]}`)},
		"Gson, a null left out":               {`{"a":null,"b":"<"}`, compact(`{"b":"\u003c"}`)},
		"PHP, a text that lost its spaces":    {`{"a":" x/y "}`, compact(`{"a":"x\/y"}`)},
		"JavaScript, spaced, with a lost key": {`{"a":1,"a":2}`, spaced(`{"a": 2}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := signedEvent("evt_1", "acme.thing", c.sent)
			require.Equal(t, compact(c.sent), s.body)
			said := explain(t, c.arrived, s.request().Header)
			assert.Contains(t, said, "parsed and encoded again")
		})
	}
}

// A test event has a field whose value few encoders write as it came, so that one
// that is parsed and encoded again is refused whatever its data are.
func TestExplainRecognisesATestThatWasEncodedAgain(t *testing.T) {
	t.Parallel()
	const head, spaced = `{"id":"evt_1","event":"acme.thing","timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1",`,
		`{"id": "evt_1", "event": "acme.thing", "timestamp": "2024-01-15T10:30:00Z", "webhook_id": "wh_1", `
	sent := head + "\"test\":{\"probe\":[1.0,9007199254740993,\"\u2028\"]},\"data\":{\"name\":\"Zoë\"}}"
	for name, arrived := range map[string]string{
		"JavaScript":           head + "\"test\":{\"probe\":[1,9007199254740992,\"\u2028\"]},\"data\":{\"name\":\"Zoë\"}}",
		"Python":               spaced + `"test": {"probe": [1.0, 9007199254740993, "\u2028"]}, "data": {"name": "Zo\u00eb"}}`,
		"PHP":                  head + `"test":{"probe":[1,9007199254740993,"\u2028"]},"data":{"name":"Zo\u00eb"}}`,
		"Go":                   `{"data":{"name":"Zoë"},"event":"acme.thing","id":"evt_1","test":{"probe":[1,9007199254740992,"\u2028"]},"timestamp":"2024-01-15T10:30:00Z","webhook_id":"wh_1"}`,
		"Jackson":              head + "\"test\":{\"probe\":[1.0,9007199254740993,\"\u2028\"]},\"data\":{\"name\":\"Zo\\u00EB\"}}",
		"fields unknown to it": head + `"data":{"name":"Zoë"}}`,
		"JavaScript, and more": head + "\"test\":{\"probe\":[1,9007199254740992,\"\u2028\"]},\"data\":{\"name\":\"Zoë\"}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := signedEvent("evt_1", "acme.thing", "{}")
			s.body = sent
			header := s.request().Header
			header.Set("webhook-test", "1")
			assert.Contains(t, explain(t, arrived, header), "parsed and encoded again")
			header.Set("webhook-signature", "v1,AAAA")
			assert.NotContains(t, explain(t, sent, header), "parsed and encoded again", "as it was sent")
		})
	}
}

func TestExplainRecognisesTheProbeWhateverTheSecret(t *testing.T) {
	t.Parallel()
	s := signedEvent("evt_1", "acme.thing", "{}")
	s.body = strings.Replace(s.body, `"data":`, `"test":{"probe":[1,9007199254740992,"\u2028"]},"data":`, 1)
	header := s.request().Header
	header.Set("webhook-signature", "v1,AAAA")
	assert.Contains(t, explain(t, s.body, header), "parsed and encoded again")
}

// What platforms and languages do to a body as a whole.
func TestExplainRecognisesBodiesInOtherForms(t *testing.T) {
	t.Parallel()
	const data = `{"name":"Zoë & “Jo”","n":1.0}`
	single := func(s string) string { // each character as a byte of Windows-1252
		return strings.NewReplacer("ë", "\xeb", "“", "\x93", "”", "\x94").Replace(s)
	}
	encoded := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	compressed := func(to func(io.Writer) io.WriteCloser) func(string) string {
		return func(s string) string {
			var b bytes.Buffer
			w := to(&b)
			_, _ = io.WriteString(w, s)
			_ = w.Close()
			return b.String()
		}
	}
	numbers := func(sep string) func(string) string {
		return func(s string) string {
			var all []string
			for _, c := range []byte(s) {
				all = append(all, strconv.Itoa(int(c)))
			}
			return strings.Join(all, sep)
		}
	}
	utf16Bytes := func(mark bool) func(string) string {
		return func(s string) string {
			var out []byte
			if mark {
				s = "\ufeff" + s
			}
			for _, u := range utf16.Encode([]rune(s)) {
				out = append(out, byte(u), byte(u>>8))
			}
			return string(out)
		}
	}
	lambda := func(s string) string {
		return `{"version":"2.0","headers":{"webhook-id":"evt_1"},"requestContext":{},"body":` + encoded(s) + `,"isBase64Encoded":false}`
	}
	inBase64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		mangle func(string) string
		want   string
	}{
		"a line end added":  {func(s string) string { return s + "\n" }, "white space"},
		"a NUL added":       {func(s string) string { return s + "\x00" }, "white space"},
		"a byte order mark": {func(s string) string { return "\ufeff" + s }, "byte order mark"},
		"base64":            {inBase64, "base64"},
		"base64 for URLs":   {func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }, "base64"},
		"base64 in lines":   {func(s string) string { b := inBase64(s); return b[:40] + "\r\n" + b[40:] + "\n" }, "base64"},
		"base64, encoded again": {func(s string) string {
			return inBase64(spacedHead + `{"name": "Zo\u00eb & \u201cJo\u201d", "n": 1.0}}`)
		}, "base64"},
		"hexadecimal":             {func(s string) string { return hex.EncodeToString([]byte(s)) }, "hexadecimal"},
		"an event of API Gateway": {lambda, "Lambda function"},
		"the same in base64":      {func(s string) string { return strings.Replace(lambda("x"), `"x"`, encoded(inBase64(s)), 1) }, "base64"},
		"a queue's record":        {func(s string) string { return `{"Records":[{"messageId":"1","body":` + encoded(s) + `}]}` }, "in one of its fields"},
		"a topic's message":       {func(s string) string { return `{"message":{"data":"` + inBase64(s) + `"}}` }, "in one of its fields"},
		"a workflow's item":       {func(s string) string { return `[{"headers":{},"body":` + s + `}]` }, "in one of its fields"},
		"a string":                {encoded, "JSON string"},
		"a string of a string":    {func(s string) string { return encoded(encoded(s)) }, "JSON string"},
		"backslashes":             {func(s string) string { return strings.ReplaceAll(s, `"`, `\"`) }, "backslashes"},
		"a Buffer":                {func(s string) string { return `{"type":"Buffer","data":[` + numbers(",")(s) + `]}` }, "list of bytes"},
		"a Uint8Array":            {indexed, "list of bytes"},
		"a list of bytes":         {func(s string) string { return "[" + numbers(",")(s) + "]" }, "list of bytes"},
		"bytes printed by Go":     {func(s string) string { return "[" + numbers(" ")(s) + "]" }, "list of bytes"},
		"bytes printed by Python": {pythonBytes, "list of bytes"},
		"a form":                  {func(s string) string { return url.QueryEscape(s) + "=" }, "form"},
		"a field of a form":       {func(s string) string { return "a=1&payload=" + url.QueryEscape(s) }, "form"},
		"percent-encoded":         {func(s string) string { return url.PathEscape(s) }, "percent-encoded"},
		"entities":                {html.EscapeString, "HTML entities"},
		"gzip":                    {compressed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }), "compressed"},
		"zlib":                    {compressed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }), "compressed"},
		"deflate":                 {compressed(func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 9); return z }), "compressed"},
		"chunks":                  {func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s), s) }, "chunks"},
		"UTF-16 with a mark":      {utf16Bytes(true), "UTF-16"},
		"UTF-16":                  {utf16Bytes(false), "UTF-16"},
		"decoded as Latin-1":      {func(s string) string { return string(asRunes(s)) }, "Latin-1"},
		"decoded as Windows-1252": {func(s string) string {
			return strings.NewReplacer("ë", "Ã«", "“", "â€œ", "”", "â€\u009d").Replace(s)
		}, "Latin-1"},
		"encoded as Windows-1252": {single, "Latin-1"},
		"decoded with a loss":     {func(s string) string { return strings.ToValidUTF8(single(s), "\ufffd") }, "U+FFFD"},
		"cut off":                 {func(s string) string { return s[:len(s)-9] }, "cut off"},
		"the data alone":          {func(string) string { return data }, "data alone"},
		"nothing of a parser":     {func(string) string { return "{}" }, "data alone"},
		"an object of JavaScript": {func(string) string { return "[object Object]" }, "what JavaScript prints"},
		"a dict of Python":        {func(string) string { return `{'id': 'evt_1'}` }, "what Python prints"},
		"a hash of Ruby":          {func(string) string { return `{"id"=>"evt_1"}` }, "what Ruby prints"},
		"a map of Java":           {func(string) string { return `{id=evt_1, event=x}` }, "what Java prints"},
		"a byte[] of Java":        {func(string) string { return `[B@1b6d3586` }, "byte[]"},
		"a map of Go":             {func(string) string { return `map[id:evt_1]` }, "what Go prints"},
		"an array of PHP":         {func(string) string { return `Array` }, "what PHP prints"},
		"undefined":               {func(string) string { return `undefined` }, "undefined"},
		"null":                    {func(string) string { return `null` }, "is null"},
		"the whole request":       {func(s string) string { return "POST /webhooks HTTP/1.1\r\nHost: a.example\r\n\r\n" + s }, "whole request"},
		"a multipart form": {func(s string) string {
			return "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + s + "\r\n--x--\r\n"
		}, "multipart"},
		"a list without brackets":     {numbers(","), "list of bytes"},
		"signed bytes of Java":        {signedBytes, "list of bytes"},
		"a byte slice in Go's syntax": {func(s string) string { return fmt.Sprintf("%#v", []byte(s)) }, "hexadecimal"},
		"hexadecimal with spaces":     {func(s string) string { return fmt.Sprintf("% x", s) }, "hexadecimal"},
		"hexadecimal of .NET":         {func(s string) string { return strings.ReplaceAll(fmt.Sprintf("% X", s), " ", "-") }, "hexadecimal"},
		"quoted by Go":                {func(s string) string { return strings.ReplaceAll(strconv.Quote(s), "ë", `\xc3\xab`) }, "JSON string"},
		"slashes of PHP":              {func(s string) string { return strings.NewReplacer(`"`, `\"`, "Jo", `J\'o`).Replace(s) }, "JSON string"},
		"escapes of Python":           {func(s string) string { return strings.ReplaceAll(s, "ë", `\xeb`) }, "not JSON's"},
		"fields of a form":            {func(string) string { return "id=evt_1&event=acme.thing&data%5Bname%5D=Zo%C3%AB" }, "as a form"},
		"an array in PHP's syntax":    {func(string) string { return "array (\n  'id' => 'evt_1',\n)" }, "what PHP prints"},
		"an array of serialize":       {func(string) string { return `a:1:{s:2:"id";s:5:"evt_1";}` }, "what PHP prints"},
		"a stream of PHP":             {func(string) string { return "Resource id #5" }, "what PHP prints"},
		"data of Ruby":                {func(string) string { return `{"name"=>"Zoë"}` }, "what Ruby prints"},
		"parameters of Rails":         {func(string) string { return `#<ActionController::Parameters {"id"=>"evt_1"}>` }, "what Ruby prints"},
		"data of Java":                {func(string) string { return `{name=Zoë, n=1.0}` }, "what Java prints"},
		"a reader of Java":            {func(string) string { return `java.io.BufferedReader@1b6d3586` }, "what Java prints"},
		"a map of Elixir":             {func(string) string { return `%{"id" => "evt_1"}` }, "what Elixir prints"},
		"an object of PowerShell":     {func(string) string { return `@{id=evt_1; event=acme.thing}` }, "what PowerShell prints"},
		"a byte[] of .NET":            {func(string) string { return `System.Byte[]` }, "what .NET prints"},
		"a value of Rust":             {func(string) string { return `Object {"id": String("evt_1")}` }, "what Rust prints"},
		"a struct of Go":              {func(string) string { return `&{evt_1 acme.thing}` }, "what Go prints"},
		"a stream of Python":          {func(string) string { return `<_io.BytesIO object at 0x7f3a>` }, "what Python prints"},
		"a Buffer, cut short":         {func(string) string { return `<Buffer 7b 22 69 ... 99 more bytes>` }, "what Node prints"},
		"None":                        {func(string) string { return `None` }, "is Python's None"},
		"something else":              {func(string) string { return `OK` }, "is not JSON"},
		"XML":                         {func(string) string { return "<event><id>evt_1</id></event>" }, "XML"},
		"Latin-1, and encoded again":  {func(s string) string { return single(spacedHead) + single(`{"name": "Zoë & “Jo”", "n": 1.0}}`) }, "Latin-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := signedEvent("evt_1", "acme.thing", data)
			assert.Contains(t, explain(t, c.mangle(s.body), s.request().Header), c.want)
		})
	}
}

// What was sent with line ends, by a sender whose bodies are not compact.
func TestExplainRecognisesLineEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sent, arrived, want string }{
		"LF to CRLF":      {"{\n\"a\":1}\n", "{\r\n\"a\":1}\r\n", "line ends"},
		"CRLF to LF":      {"{\r\n\"a\":1}", "{\n\"a\":1}", "line ends"},
		"trimmed":         {"{\"a\":1}\n", "{\"a\":1}", "trimmed"},
		"trimmed of CRLF": {"{\"a\":1}\r\n", "{\"a\":1}", "trimmed"},
		"a mark lost":     {"\ufeff{\"a\":1}", "{\"a\":1}", "trimmed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			m := webhook.Message{ID: "evt_1", Timestamp: time.Now(), Body: []byte(c.sent)}
			require.NoError(t, webhook.StandardSigner().Sign(h, m, receiverSecret))
			assert.Contains(t, explain(t, c.arrived, h), c.want)
		})
	}
}

// A body that is as it was sent says nothing about a mangled one.
func TestExplainBlamesTheSecretForWhatIsAsSent(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{}`, `{"a":"Zoë <&> \u00eb","n":1.50}`, `{"url":"https://a.example/%20?a=b+c"}`, "{ \"a\" : 1 }"} {
		s := signedEvent("evt_1", "acme.thing", data)
		s.secret = webhook.NewSecret().Reveal()
		newer := strings.TrimSuffix(s.body, "}") + `,"attempt":2}`
		for _, body := range []string{s.body, newer} {
			assert.True(t, strings.HasPrefix(explain(t, body, s.request().Header), "most likely the secret is of another endpoint"), body)
		}
	}
}

// asRunes is s with each byte as a character, which is how Latin-1 is decoded.
func asRunes(s string) (out []rune) {
	for _, c := range []byte(s) {
		out = append(out, rune(c))
	}
	return out
}

// indexed is s as JSON.stringify writes a Uint8Array.
func indexed(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		fmt.Fprintf(&b, `,"%d":%d`, i, c)
	}
	return "{" + b.String()[1:] + "}"
}

// signedBytes is Arrays.toString of Java.
func signedBytes(s string) string {
	var all []string
	for _, c := range []byte(s) {
		all = append(all, strconv.Itoa(int(int8(c)))) // #nosec G115 -- as Java has it
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// pythonBytes is str(body) of Python.
func pythonBytes(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '\\':
			b.WriteString(`\\`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return "b'" + b.String() + "'"
}

// A stranger can make a body as large as MaxBody, and a receiver has many secrets.
// Nothing here is measured: without a bound it would take minutes.
func TestExplainIsBounded(t *testing.T) {
	t.Parallel()
	secrets := []webhook.Secret{webhook.NewSigningKey().Public()}
	for range 500 {
		secrets = append(secrets, webhook.NewSecret())
	}
	v, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: secrets})
	require.NoError(t, err)
	h := signedEvent("evt_1", "acme.thing", "1").request().Header
	for _, size := range []int{60 << 10, 2 << 20} {
		for _, part := range []string{"[", `{"a":`, "1,", "%25", "\xeb", "ë", "YWJj"} {
			body := []byte(sentHead + `"` + strings.Repeat(part, size/len(part)) + `"}`)
			assert.NotEmpty(t, v.Explain(body, h, webhook.ErrSignature))
		}
	}
}
