// The same server with a verification on the standard library alone.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	text, found := strings.CutPrefix(os.Getenv("WEBHOOK_SECRET"), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !found || len(key) < 24 {
		log.Fatal("WEBHOOK_SECRET is no secret")
	}
	http.HandleFunc("POST /webhook", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			err = verify(body, r.Header, key)
		}
		if err != nil {
			log.Print("refused: ", err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var event struct {
			ID   string          `json:"id"`
			Type string          `json:"event"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			log.Print("not an event: ", err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		log.Printf("%s %s: %s", event.ID, event.Type, event.Data)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}

func verify(body []byte, h http.Header, key []byte) error {
	seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if d := time.Since(time.Unix(seconds, 0)); d > 5*time.Minute || d < -5*time.Minute {
		return errors.New("timestamp too far from now")
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, h.Get("webhook-id")+"."+h.Get("webhook-timestamp")+".")
	_, _ = mac.Write(body)
	want := mac.Sum(nil)
	for candidate := range strings.FieldsSeq(h.Get("webhook-signature")) {
		version, value, _ := strings.Cut(candidate, ",")
		if got, err := base64.StdEncoding.DecodeString(value); version == "v1" && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errors.New("signature does not match")
}
