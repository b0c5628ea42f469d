package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringyo-ai/webhook/internal/race"
)

// chromium is the one that all tests share, started by the first.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	chromium.stop = func() {}
	code := m.Run()
	chromium.stop()
	if err := goleak.Find(goleak.IgnoreCurrent()); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// missing skips a test, or fails it where nothing may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// started returns the context of the browser.
func started(t *testing.T) context.Context {
	t.Helper()
	if race.Enabled {
		t.Skip("skipped: it drives another program, and go test work runs it")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed")
	}
	chromium.once.Do(func() { chromium.err = start(path) })
	require.NoError(t, chromium.err)
	return chromium.ctx
}

// start starts the browser with an empty profile. It asks nobody for updates, and speaks
// to nobody but the pages' own server.
func start(path string) error {
	dir, err := os.MkdirTemp("", "webhook-browser-")
	if err != nil {
		return err
	}
	flags := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(2 * time.Minute),
	}
	for _, name := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions", "disable-default-apps",
		"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding", "disable-dev-shm-usage",
		"disable-client-side-phishing-detection", "disable-breakpad", "metrics-recording-only", "hide-scrollbars",
	} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(alloc)
	chromium.ctx = ctx
	chromium.stop = func() {
		_ = chromedp.Cancel(ctx) // it closes the browser and waits for it
		cancel()
		stopAlloc()
		_ = os.RemoveAll(dir)
	}
	return chromedp.Do(ctx)
}
