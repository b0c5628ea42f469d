package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ringyo-ai/webhook/memstore"
)

const (
	memoryName   = "library, memory"
	sqliteName   = "library, SQLite"
	postgresName = "library, PostgreSQL"
)

// contenders are all that can be measured here.
func contenders(dsn string) []contender {
	all := []contender{
		bare{},
		library{label: memoryName, store: openMemory},
		library{label: sqliteName, store: openSQLite},
	}
	if dsn != "" {
		all = append(all,
			library{label: postgresName, store: func(ctx context.Context) (*openStore, error) { return openPostgres(ctx, dsn) }},
			riverQueue{label: riverDefaultName, dsn: dsn},
			riverQueue{label: riverTunedName, dsn: dsn, tuned: true},
		)
	}
	return all
}

// ourContender finds one of ours by its name.
func ourContender(name, dsn string) (library, error) {
	for _, c := range contenders(dsn) {
		if l, ok := c.(library); ok && l.label == name {
			return l, nil
		}
	}
	return library{}, fmt.Errorf("there is no %q", name)
}

func noCPU() time.Duration { return 0 } // the store is in the sender's process

func openMemory(context.Context) (*openStore, error) {
	return &openStore{Store: memstore.New(), cpu: noCPU, close: func(context.Context) error { return nil }}, nil
}
