package browser

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The pictures of docs/dashboard.md are made anew by WEBHOOK_SCREENSHOTS=1; the tests of
// internal/repotest check what is there. Ids of events and times are those of the moment.
func TestPictures(t *testing.T) {
	if os.Getenv("WEBHOOK_SCREENSHOTS") == "" {
		t.Skip("skipped: WEBHOOK_SCREENSHOTS=1 makes the pictures of docs/images anew")
	}
	s := newLiving(t, 6)
	b := s.open(t)
	views := map[string]func(*tab){}
	for _, v := range s.views() {
		views[v.name] = v.open
	}
	for _, p := range []struct {
		file, view, theme string
		height            int64
	}{
		{"endpoints", "endpoints", "light", 733},
		{"endpoint-light", "endpoint, disabled", "light", 730},
		{"endpoint-dark", "endpoint, disabled", "dark", 730},
		{"secret", "secret", "light", 600},
		{"deliveries", "deliveries, mixed", "light", 648},
		{"delivery", "delivery, failed", "light", 653},
		{"operator", "operator", "light", 660},
	} {
		b.do(chromedp.EmulateViewport(1000, p.height), theme(p.theme))
		views[p.view](b)
		write(t, p.file, get(b, chromedp.CaptureScreenshot()))
	}
}

// write writes a picture with a palette of 256 colours: pages are flat, and the edges of
// letters have few shades.
func write(t *testing.T, name string, shot []byte) {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	small := image.NewPaletted(full.Bounds(), palette(full))
	draw.Draw(small, small.Bounds(), full, full.Bounds().Min, draw.Src)
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	require.NoError(t, os.WriteFile(filepath.Join("../../../docs/images", name+".png"), out.Bytes(), 0o644)) // #nosec G306 -- a picture of the documentation
	t.Logf("%s: %d kB", name, out.Len()/1000)
}

// palette returns the 256 colours that a picture has most of.
func palette(m image.Image) color.Palette {
	uses := map[color.RGBA]int{}
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			uses[color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)]++
		}
	}
	var all []color.RGBA
	for c := range uses {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int { return uses[b] - uses[a] })
	var p color.Palette
	for _, c := range all[:min(256, len(all))] {
		p = append(p, c)
	}
	return p
}
