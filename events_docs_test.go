package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// docs/events.md is written from the payloads' own comments and from the golden
// samples, so that readers in other languages see what the code says. Set
// UPDATE_GOLDEN=1 to write its second part anew.
func TestTheEventsPageSaysWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	const begin = "<!-- from here on written by UPDATE_GOLDEN=1 go test -run EventsPage . -->\n"
	file := filepath.Join("docs", "events.md")
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	head, reference, found := strings.Cut(string(page), begin)
	require.True(t, found, "the page lacks its mark")
	want := eventsReference(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(head+begin+want), 0o600))
		return
	}
	assert.Equal(t, want, reference)
	for _, typ := range EventTypes() {
		assert.Contains(t, head, "`"+string(typ)+"`", "the page's list of types")
	}
}

func eventsReference(t *testing.T) string {
	t.Helper()
	structs := payloadStructs(t)
	var b strings.Builder
	for _, k := range catalogue {
		name := reflect.TypeOf(k.zero()).Name()
		fmt.Fprintf(&b, "\n## %s\n\n", k.eventType())
		writeStruct(&b, structs[name], func(doc string) string {
			_, meaning, _ := strings.Cut(doc, ": ")
			return strings.ToUpper(meaning[:1]) + meaning[1:]
		})
		golden, err := os.ReadFile(filepath.Join("testdata", "events", string(k.eventType())+".json"))
		require.NoError(t, err)
		b.WriteString("\n```json\n")
		b.Write(indented(t, golden))
		b.WriteString("\n```\n")
	}
	for _, name := range []string{"TranscriptTurn", "AppointmentPrevious"} {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		writeStruct(&b, structs[name], func(doc string) string { return doc })
	}
	return b.String()
}

// payloadStruct is a struct as its source has it.
type payloadStruct struct {
	doc    string
	fields []*ast.Field
}

func payloadStructs(t *testing.T) map[string]payloadStruct {
	t.Helper()
	structs := map[string]payloadStruct{}
	for _, file := range []string{"events_call.go", "events_appointment.go", "events_account.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			spec := decl.Specs[0].(*ast.TypeSpec)
			if s, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = payloadStruct{decl.Doc.Text(), s.Fields.List}
			}
		}
	}
	return structs
}

func writeStruct(b *strings.Builder, s payloadStruct, meaning func(doc string) string) {
	paragraphs := strings.Split(strings.TrimSpace(meaning(s.doc)), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
	}
	fmt.Fprintf(b, "%s\n\n| field | JSON | meaning |\n|---|---|---|\n", strings.Join(paragraphs, "\n\n"))
	for _, field := range s.fields {
		tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json")
		name, _, _ := strings.Cut(tag, ",")
		text := strings.TrimSpace(field.Doc.Text() + field.Comment.Text())
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, jsonKind(field.Type), text)
	}
}

// jsonKind names the JSON type of a field.
func jsonKind(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.ArrayType:
		return "array of " + jsonKind(e.Elt)
	case *ast.MapType:
		return "object"
	case *ast.SelectorExpr: // time.Time
		return "string"
	case *ast.Ident:
		switch e.Name {
		case "int", "int64":
			return "integer"
		case "float64":
			return "number"
		case "TranscriptTurn", "AppointmentPrevious":
			return fmt.Sprintf("[%s](#%s)", e.Name, strings.ToLower(e.Name))
		}
	}
	return "string"
}

func indented(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, bytes.TrimSpace(data), "", "  "))
	return b.Bytes()
}
