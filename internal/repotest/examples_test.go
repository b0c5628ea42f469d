package repotest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pkg.go.dev shows the body of an example, or its whole file if that holds one
// example and what belongs to it. A reader finds every name of it there.
func TestExamplesDefineWhatTheyUse(t *testing.T) {
	t.Parallel()
	seen := 0
	for file, src := range rootModuleFiles(t) {
		if !strings.HasPrefix(path.Base(file), "example_") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ParseComments)
		require.NoError(t, err)
		for _, example := range doc.Examples(parsed) {
			seen++
			assert.Empty(t, lacks(example), "%s: Example%s", file, example.Name)
		}
	}
	assert.Greater(t, seen, 20)
}

// lacks says what an example needs besides what is shown of it, or "".
func lacks(example *doc.Example) string {
	if example.Play == nil {
		return "a name of another file"
	}
	if _, whole := example.Code.(*ast.File); whole {
		return ""
	}
	for _, decl := range example.Play.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name != "main" {
				return d.Name.Name
			}
		case *ast.GenDecl:
			if d.Tok != token.IMPORT {
				return "a declaration beside it"
			}
		}
	}
	return ""
}
