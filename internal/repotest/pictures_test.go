package repotest

import (
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxPicture is the size of a picture in bytes: the module's users download them all.
const maxPicture = 60_000

var pictures = regexp.MustCompile(`!\[([^\]]*)\]\(([^)]+\.png)\)`)

// The pictures of the dashboard are there, small, and shown in its page, each with words
// for those who do not see it. internal/itest/browser makes them.
func TestPicturesOfTheDashboard(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("docs/images/*")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(files), 6)
	shown := map[string]bool{}
	for _, m := range pictures.FindAllStringSubmatch(readFile(t, "docs/dashboard.md"), -1) {
		assert.NotEmpty(t, m[1], m[2])
		shown[filepath.Join("docs", m[2])] = true
	}
	for _, file := range files {
		assert.True(t, shown[file], "docs/dashboard.md does not show %s", file)
		f, err := os.Open(file)
		require.NoError(t, err)
		info, err := f.Stat()
		require.NoError(t, err)
		assert.LessOrEqual(t, info.Size(), int64(maxPicture), file)
		_, err = png.DecodeConfig(f)
		assert.NoError(t, err, file)
		require.NoError(t, f.Close())
	}
	assert.Len(t, shown, len(files))
	assert.Len(t, pictures.FindAllString(readFile(t, "README.md"), -1), 1)
}
