package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The receiver is a process of its own, so that its work is not counted as the
// sender's. Its paths: /e/… responds at once and is measured, /slow/… responds
// after slowAnswer, /late/… after lateAnswer, /hang/… after hangTime, /fail/… with
// 500; /control/… steers it.
const (
	slowAnswer = 20 * time.Millisecond
	lateAnswer = 4900 * time.Millisecond
	hangTime   = 5*time.Second + 500*time.Millisecond
	noisyPath  = "late"
)

// Report is what the receiver saw since its last reset.
type Report struct {
	Received   int           // distinct events on /e/
	Duplicates int           // events on /e/ beyond these
	Others     int           // requests on other paths
	Elapsed    time.Duration // from the reset to the event that was waited for
	P50, P99   time.Duration // from emitting to receiving, on /e/
	CPU        time.Duration // of the receiver's process
}

// receiver counts events by the number that each carries.
type receiver struct {
	mu      sync.RWMutex // held for reading by each request, for writing by reset
	began   time.Time
	cpu     time.Duration
	seen    []atomic.Uint32 // by event number: times received
	delays  []int64         // by arrival: nanoseconds
	arrived atomic.Int64
	twice   atomic.Int64
	others  atomic.Int64
	target  int64
	reached chan struct{} // closed at the arrival of the target
	end     time.Time
}

// runReceiver serves until its standard input ends, which it does when the
// process that started it is gone.
func runReceiver() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r := &receiver{reached: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/e/", r.event)
	mux.HandleFunc("/slow/", r.pause(slowAnswer))
	mux.HandleFunc("/"+noisyPath+"/", r.pause(lateAnswer))
	mux.HandleFunc("/hang/", r.pause(hangTime))
	mux.HandleFunc("/control/reset", r.reset)
	mux.HandleFunc("/control/wait", r.wait)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println(l.Addr())
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (r *receiver) event(w http.ResponseWriter, req *http.Request) {
	now := time.Now().UnixNano()
	buf := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(req.Body); err != nil {
		return
	}
	r.record(now, field(buf.Bytes(), seqField), field(buf.Bytes(), sentField))
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) record(now, seq, sent int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if seq < 0 || seq >= int64(len(r.seen)) {
		return // of a measurement that has ended
	}
	if r.seen[seq].Add(1) > 1 {
		r.twice.Add(1)
		return
	}
	n := r.arrived.Add(1)
	r.delays[n-1] = now - sent
	if n == r.target {
		r.end = time.Now()
		close(r.reached)
	}
}

// field reads the number that follows name, near the beginning of body.
func field(body []byte, name string) int64 {
	head := body[:min(len(body), 512)]
	i := bytes.Index(head, []byte(name))
	if i < 0 {
		return -1
	}
	digits := head[i+len(name):]
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(digits[:end]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (r *receiver) pause(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		r.others.Add(1)
		select {
		case <-time.After(d):
			w.WriteHeader(http.StatusNoContent)
		case <-req.Context().Done():
		}
	}
}

// reset begins a measurement of n events.
func (r *receiver) reset(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.Atoi(req.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = make([]atomic.Uint32, n)
	r.delays = make([]int64, n)
	r.arrived.Store(0)
	r.twice.Store(0)
	r.others.Store(0)
	r.target, r.reached = int64(n), make(chan struct{})
	r.began, r.cpu = time.Now(), processCPU()
}

// wait returns once all events have arrived, or after the time that it is given.
func (r *receiver) wait(w http.ResponseWriter, req *http.Request) {
	limit, err := time.ParseDuration(req.FormValue("limit"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.RLock()
	reached := r.reached
	r.mu.RUnlock()
	select {
	case <-reached:
	case <-time.After(limit):
	case <-req.Context().Done():
		return
	}
	_ = json.NewEncoder(w).Encode(r.report())
}

func (r *receiver) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.end
	if r.arrived.Load() < r.target {
		end = time.Now()
	}
	delays := slices.Clone(r.delays[:r.arrived.Load()])
	slices.Sort(delays)
	return Report{
		Received:   len(delays),
		Duplicates: int(r.twice.Load()),
		Others:     int(r.others.Load()),
		Elapsed:    end.Sub(r.began),
		P50:        quantile(delays, 0.50),
		P99:        quantile(delays, 0.99),
		CPU:        processCPU() - r.cpu,
	}
}

func quantile(sorted []int64, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return time.Duration(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// receiverProcess is the receiver as the sender sees it.
type receiverProcess struct {
	base string // http://127.0.0.1:port
	stop func()
}

func (p *receiverProcess) url(path string, i int) string {
	return p.base + "/" + path + "/" + strconv.Itoa(i)
}

func (p *receiverProcess) reset(n int) error {
	res, err := http.Post(fmt.Sprintf("%s/control/reset?n=%d", p.base, n), "", nil)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func (p *receiverProcess) wait(limit time.Duration) (Report, error) {
	var rep Report
	res, err := http.Post(fmt.Sprintf("%s/control/wait?limit=%s", p.base, limit), "", nil)
	if err != nil {
		return rep, err
	}
	defer res.Body.Close()
	return rep, json.NewDecoder(res.Body).Decode(&rep)
}

func startReceiver() (*receiverProcess, error) {
	child, err := startChild("receiver")
	if err != nil {
		return nil, err
	}
	addr, err := child.line()
	if err != nil {
		child.end()
		return nil, fmt.Errorf("the receiver did not start: %w", err)
	}
	return &receiverProcess{base: "http://" + strings.TrimSpace(addr), stop: child.end}, nil
}
