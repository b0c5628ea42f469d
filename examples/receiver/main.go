// Command receiver is a customer's server to try things out with: it verifies,
// de-duplicates and prints every event, and can fail or dawdle on request. Of a
// request that it refuses it says what most likely went wrong.
//
//	go run ./examples/receiver -secret whsec_… -addr localhost:8080 -fail 3 -delay 2s
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/receive"
)

type options struct {
	addr    string
	secrets string
	fail    int64
	delay   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:8080", "address to listen on")
	flag.StringVar(&o.secrets, "secret", os.Getenv("WEBHOOK_SECRET"),
		"signing secret of the endpoint, or several with commas between; defaults to $WEBHOOK_SECRET, and to a new one")
	flag.Int64Var(&o.fail, "fail", 0, "respond with 500 to every n-th event; 0: never, 1: always")
	flag.DurationVar(&o.delay, "delay", 0, "time to handle one event; the sender waits 5s")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) error {
	secrets, err := parseSecrets(o.secrets, out)
	if err != nil {
		return err
	}
	r, err := newReceiver(o, secrets, out)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s\n", l.Addr())
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(server.Shutdown(ending), r.Shutdown(ending))
}

// parseSecrets reads the flag. Without one it makes a secret and shows it.
func parseSecrets(text string, out io.Writer) ([]webhook.Secret, error) {
	if text == "" {
		s := webhook.NewSecret()
		fmt.Fprintf(out, "no -secret given; register the endpoint with this one: %s\n", s.Reveal())
		return []webhook.Secret{s}, nil
	}
	var secrets []webhook.Secret
	for part := range strings.SplitSeq(text, ",") {
		s, err := webhook.ParseSecret(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, s)
	}
	return secrets, nil
}

func newReceiver(o options, secrets []webhook.Secret, out io.Writer) (*receive.Receiver, error) {
	p := &printer{out: out}
	r, err := receive.New(receive.Config{
		Secrets: secrets,
		Explain: true,
		Logger:  slog.New(slog.NewTextHandler(p, nil)),
	})
	if err != nil {
		return nil, err
	}
	var n atomic.Int64
	r.OnTest(p.event)
	r.OnOther(func(ctx context.Context, e webhook.Event) error {
		if o.fail > 0 && n.Add(1)%o.fail == 0 {
			return errors.New("failing, as -fail asks for")
		}
		select {
		case <-time.After(o.delay):
		case <-ctx.Done():
			return ctx.Err()
		}
		return p.event(ctx, e)
	})
	return r, nil
}

// printer keeps what concurrent handlers print apart.
type printer struct {
	mu  sync.Mutex
	out io.Writer
}

func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *printer) event(_ context.Context, e webhook.Event) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s", e.Timestamp.Format(time.RFC3339), e.Type)
	if e.Test {
		b.WriteString("  (test)")
	}
	fmt.Fprintf(&b, "\n  id %s, endpoint %s\n  ", e.ID, e.EndpointID)
	if err := json.Indent(&b, e.Raw, "  ", "  "); err != nil {
		b.Write(e.Raw)
	}
	b.WriteByte('\n')
	_, err := p.Write(b.Bytes())
	return err
}
