package webhook

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A pointer to a payload must not compile where a payload is wanted: a handler
// for pointers would never be called, since Event.Data is a value.
func TestPayloadTakesValuesOnly(t *testing.T) {
	t.Parallel()
	assert.Empty(t, typeErrors(t, `var _ = payload[CallCompleted]`))
	for _, arg := range []string{"*CallCompleted", "any", "string", "struct{}"} {
		assert.Contains(t, typeErrors(t, `var _ = payload[`+arg+`]`), arg+" does not satisfy Payload")
	}
}

// typeErrors type-checks code beside the declarations of the events, and answers
// the last error in it. Errors elsewhere are of imports, which it leaves out.
func typeErrors(t *testing.T, code string) (text string) {
	t.Helper()
	fset := token.NewFileSet()
	paths, err := filepath.Glob("events*.go")
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		if ok, _ := filepath.Match("*_test.go", path); !ok {
			f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			files = append(files, f)
		}
	}
	f, err := parser.ParseFile(fset, "snippet.go", "package webhook\nfunc payload[P Payload]() {}\n"+code, 0)
	require.NoError(t, err)
	cfg := types.Config{Error: func(err error) {
		if e := err.(types.Error); fset.Position(e.Pos).Filename == "snippet.go" {
			text = e.Msg
		}
	}}
	_, _ = cfg.Check("webhook", fset, append(files, f), nil)
	return text
}
