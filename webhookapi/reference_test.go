package webhookapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const begin = "<!-- from here on written by UPDATE_GOLDEN=1 go test -run Reference ./webhookapi -->\n"

// The reference in docs/api.md is made from the OpenAPI document.
func TestTheReferenceIsThatOfTheDocument(t *testing.T) {
	t.Parallel()
	const file = "../docs/api.md"
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(page), begin)
	require.True(t, found, "the page lacks its mark")
	want := reference(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+want), 0o600))
		return
	}
	assert.Equal(t, want, rest)
}

// spec is what the reference shows of an OpenAPI document.
type spec struct {
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Parameters map[string]parameter
		Schemas    map[string]*schema
		Responses  map[string]struct{ Description string }
	}
}

type parameter struct {
	Ref         string `json:"$ref"`
	Name, In    string
	Description string
	Schema      *schema
}

type operation struct {
	Tags                 []string
	Summary, Description string
	Parameters           []parameter
	RequestBody          *struct {
		Content map[string]struct{ Schema *schema }
	}
	Responses map[string]struct {
		Ref         string `json:"$ref"`
		Description string
		Content     map[string]struct{ Schema *schema }
	}
}

type schema struct {
	Ref         string `json:"$ref"`
	Type        any
	Description string
	Enum        []any
	Properties  ordered
	Required    []string
	Items       *schema
	OneOf       []*schema
}

// ordered are properties in the order of the document.
type ordered []property

type property struct {
	name string
	*schema
}

func (o *ordered) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var s schema
		if err := dec.Decode(&s); err != nil {
			return err
		}
		*o = append(*o, property{name.(string), &s})
	}
	return nil
}

func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// reference renders the document as Markdown.
func reference(t *testing.T) string {
	t.Helper()
	var s spec
	raw, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &s))
	var b strings.Builder
	for _, tag := range s.Tags {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n", tag.Name, tag.Description)
		paths := make([]string, 0, len(s.Paths))
		for path := range s.Paths {
			paths = append(paths, path)
		}
		sort.Strings(paths)
		for _, path := range paths {
			for _, method := range []string{"get", "post", "patch", "delete"} {
				var op operation
				if raw := s.Paths[path][method]; raw != nil {
					require.NoError(t, json.Unmarshal(raw, &op))
					if slices.Contains(op.Tags, tag.Name) {
						s.operation(&b, strings.ToUpper(method)+" "+path, op)
					}
				}
			}
		}
	}
	b.WriteString("\n### Objects\n")
	names := make([]string, 0, len(s.Components.Schemas))
	for name := range s.Components.Schemas {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		sc := s.Components.Schemas[name]
		fmt.Fprintf(&b, "\n<a id=\"%s\"></a>**%s**: %s\n", strings.ToLower(name), name, text(cond(sc.Description, typeOf(sc))))
		if sc.Enum != nil && sc.Description == "" {
			continue
		}
		s.fields(&b, sc)
	}
	return b.String()
}

func cond(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (s *spec) operation(b *strings.Builder, title string, op operation) {
	fmt.Fprintf(b, "\n#### `%s`\n\n%s.", title, op.Summary)
	if op.Description != "" {
		b.WriteString(" " + op.Description)
	}
	b.WriteString("\n\n")
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = s.Components.Parameters[last(p.Ref)]
		}
		fmt.Fprintf(b, "- `%s` (%s): %s\n", p.Name, p.In, text(p.Description))
	}
	if op.RequestBody != nil {
		fmt.Fprintf(b, "- Body: %s\n", typeOf(op.RequestBody.Content["application/json"].Schema))
	}
	var failures []string
	codes := make([]string, 0, len(op.Responses))
	for code := range op.Responses {
		codes = append(codes, code)
	}
	sort.Strings(codes)
	for _, code := range codes {
		r := op.Responses[code]
		if r.Ref != "" {
			failures = append(failures, code)
			continue
		}
		fmt.Fprintf(b, "- %s: %s %s\n", code, typeOf(r.Content["application/json"].Schema), text(r.Description))
	}
	if len(failures) > 0 {
		fmt.Fprintf(b, "- Errors: %s\n", strings.Join(failures, ", "))
	}
}

func (s *spec) fields(b *strings.Builder, sc *schema) {
	if len(sc.Properties) == 0 {
		return
	}
	b.WriteString("\n| field | type | |\n|---|---|---|\n")
	for _, p := range sc.Properties {
		note := text(p.Description)
		if slices.Contains(sc.Required, p.name) && len(sc.Required) < len(sc.Properties) {
			note = strings.TrimSpace("Required. " + note)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.name, typeOf(p.schema), note)
	}
}

func text(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func typeOf(s *schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return fmt.Sprintf("[%s](#%s)", last(s.Ref), strings.ToLower(last(s.Ref)))
	case s.OneOf != nil:
		list := make([]string, len(s.OneOf))
		for i, one := range s.OneOf {
			list[i] = typeOf(one)
		}
		return strings.Join(list, " or ")
	case s.Enum != nil:
		list := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			list[i] = fmt.Sprintf("`%v`", v)
			if v == nil {
				list[i] = "null"
			}
		}
		return strings.Join(list, ", ")
	case s.Items != nil:
		return "array of " + typeOf(s.Items)
	case s.Type == nil:
		return "any value"
	}
	if list, ok := s.Type.([]any); ok {
		words := make([]string, len(list))
		for i, w := range list {
			words[i] = fmt.Sprint(w)
		}
		return strings.Join(words, " or ")
	}
	return fmt.Sprint(s.Type)
}
