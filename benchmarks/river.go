package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverQueue is River on PostgreSQL: the job queue that users would build
// webhooks on. Its worker renders, signs and sends like the bare loop; it keeps
// no attempt log, no endpoints and no limits per endpoint.
type riverQueue struct {
	label string
	dsn   string
	tuned bool
}

const (
	riverDefaultName = "River, defaults"
	riverTunedName   = "River, tuned"
)

func (r riverQueue) name() string { return r.label }

func (r riverQueue) config() river.Config {
	cfg := river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}}, // as in River's own documentation
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if r.tuned {
		cfg.Queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: 200}
		cfg.FetchCooldown, cfg.FetchPollInterval = 5*time.Millisecond, 5*time.Millisecond
	}
	return cfg
}

func (r riverQueue) open(ctx context.Context, endpoints []string) (system, error) {
	schema, err := createSchema(ctx, r.dsn)
	if err != nil {
		return nil, err
	}
	s := &riverSystem{schema: schema, fast: r.tuned, poster: newPoster()}
	if err := s.init(ctx, r.config(), endpoints); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

type riverSystem struct {
	schema *schema
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	poster *poster
	fast   bool
}

func (s *riverSystem) init(ctx context.Context, cfg river.Config, endpoints []string) error {
	poolConfig, err := pgxpool.ParseConfig(s.schema.dsn)
	if err != nil {
		return err
	}
	poolConfig.MaxConns = connections
	poolConfig.ConnConfig.RuntimeParams["search_path"] = s.schema.name
	if s.pool, err = pgxpool.NewWithConfig(ctx, poolConfig); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(s.pool), &rivermigrate.Config{Logger: cfg.Logger})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	cfg.Workers = river.NewWorkers()
	river.AddWorker(cfg.Workers, &postWorker{endpoints: endpoints, poster: s.poster})
	s.client, err = river.NewClient(riverpgxv5.New(s.pool), &cfg)
	return err
}

// postArgs is one event for one endpoint.
type postArgs struct {
	Endpoint int    `json:"endpoint"`
	Data     string `json:"data"`
}

func (postArgs) Kind() string { return "post" }

type postWorker struct {
	river.WorkerDefaults[postArgs]
	endpoints []string
	poster    *poster
}

func (w *postWorker) Work(ctx context.Context, j *river.Job[postArgs]) error {
	return w.poster.post(ctx, w.endpoints[j.Args.Endpoint], "evt_"+strconv.FormatInt(j.ID, 10), []byte(j.Args.Data))
}

func (s *riverSystem) emit(ctx context.Context, jobs []job) error {
	if len(jobs) == 1 {
		_, err := s.client.Insert(ctx, postArgs{jobs[0].endpoint, string(jobs[0].data)}, nil)
		return err
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{Args: postArgs{j.endpoint, string(j.data)}}
	}
	if s.fast {
		_, err := s.client.InsertManyFast(ctx, params)
		return err
	}
	_, err := s.client.InsertMany(ctx, params)
	return err
}

// start begins on a context of its own: River stops when Start's ends.
func (s *riverSystem) start(ctx context.Context) error {
	return s.client.Start(context.WithoutCancel(ctx))
}

func (s *riverSystem) storeCPU() time.Duration { return s.schema.serverCPU() }

func (s *riverSystem) close(ctx context.Context) error {
	var err error
	if s.client != nil {
		err = s.client.StopAndCancel(ctx)
	}
	if s.pool != nil {
		s.pool.Close()
	}
	s.poster.close()
	return errors.Join(err, s.schema.drop(ctx))
}
