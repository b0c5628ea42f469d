package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// processes emits and delivers in n processes on one schema.
func processes(n int) func(context.Context, *bench, contender) (measurement, error) {
	return func(ctx context.Context, b *bench, c contender) (measurement, error) {
		return b.withStopped(ctx, c, b.urls("e", b.endpoints), func(s system) (measurement, error) {
			schema := s.(*librarySystem).store.schema
			team := make([]*child, 0, n)
			defer func() {
				for _, p := range team {
					p.end()
				}
			}()
			for range n {
				p, err := startChild("sender", b.dsn, schema, strconv.Itoa(b.endpoints))
				if err != nil {
					return measurement{}, err
				}
				team = append(team, p)
				if _, err := p.line(); err != nil {
					return measurement{}, errors.New("a sending process did not start")
				}
			}
			if _, err := b.timed(s, b.jobs/10, func() error { return share(team, b.load(b.jobs/10)) }); err != nil {
				return measurement{}, err
			}
			return b.timed(s, b.jobs, func() error { return share(team, b.load(b.jobs)) })
		})
	}
}

// share lets each process emit an equal part of l.
func share(team []*child, l load) error {
	for i, p := range team {
		from, to := l.n*i/len(team), l.n*(i+1)/len(team)
		if err := p.tell(fmt.Sprint("emit ", from, to-from, l.size, l.batch, l.callers, l.endpoints)); err != nil {
			return err
		}
	}
	for _, p := range team {
		if line, err := p.line(); err != nil || strings.TrimSpace(line) != "done" {
			return errors.New("a sending process failed")
		}
	}
	return nil
}

// runSender is one of several sending processes: it emits what it is told to
// until its standard input ends.
func runSender(ctx context.Context, dsn, schema string, endpoints int) error {
	store, err := joinPostgres(dsn, schema)
	if err != nil {
		return err
	}
	e, err := newEngine(store, nil)
	if err != nil {
		return err
	}
	s := &librarySystem{Engine: e, store: store, urls: make([]string, endpoints)}
	if err := s.start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		l := load{}
		_, err := fmt.Scanln(new(string), &l.from, &l.n, &l.size, &l.batch, &l.callers, &l.endpoints)
		if err != nil {
			return s.close(ctx)
		}
		if err := feed(ctx, s, l); err != nil {
			return err
		}
		fmt.Println("done")
	}
}
