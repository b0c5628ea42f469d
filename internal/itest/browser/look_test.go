package browser

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

func TestLook(t *testing.T) {
	s := newLiving(t, 4)
	b := s.open(t)
	only := os.Getenv("LOOK")
	for _, v := range s.views() {
		if only != "" && !strings.Contains(","+only+",", ","+strings.ReplaceAll(v.name, ", ", "-")+",") {
			continue
		}
		v.open(b)
		for _, width := range []int64{1280, 768, 340} {
			for _, mode := range []string{"light", "dark"} {
				if w := os.Getenv("WIDTH"); w != "" && w != fmt.Sprint(width) || os.Getenv("MODE") != "" && os.Getenv("MODE") != mode {
					continue
				}
				b.do(theme(mode), chromedp.EmulateViewport(width, 700))
				name := fmt.Sprintf("/tmp/look/%s-%d-%s.png", strings.NewReplacer(", ", "-", " ", "_").Replace(v.name), width, mode)
				require.NoError(t, os.WriteFile(name, get(b, chromedp.FullScreenshot(100)), 0o600))
			}
		}
		b.do(chromedp.EmulateViewport(1280, 900))
	}
}
