package main

import (
	"context"
	"testing"
	"time"
)

func TestQuickstartKeepsItsPromises(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		t.Fatal(err)
	}
}
