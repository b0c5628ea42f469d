# The usual commands. `make` alone lists them; .ci/run runs what must pass.
.DEFAULT_GOAL := help
.PHONY: help test race lint fmt vuln bench fuzz long mutation compose compose-down ci

FUZZTIME ?= 10s
COUNT    ?= 1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

test: ## all tests of all modules; databases by WEBHOOK_TEST_POSTGRES_DSN and WEBHOOK_TEST_MYSQL_DSN
	go test work

race: ## the same with the race detector, COUNT times
	go test -race -count $(COUNT) -timeout 30m work

lint: tools/bin/tools ## what CI checks without running the code
	go vet work
	@out=$$(git ls-files '*.go' | xargs tools/bin/gofumpt -l); [ -z "$$out" ] || { echo "$$out: run make fmt"; exit 1; }
	tools/bin/staticcheck -checks all work
	cd tools && GOWORK=off bin/staticcheck -checks all ./...
	GOWORK=off go list -f '{{.Dir}}' ./... | xargs tools/bin/gosec

fmt: tools/bin/tools ## format all Go files
	git ls-files '*.go' | xargs tools/bin/gofumpt -w

vuln: ## known vulnerabilities in what the published module uses (needs the network)
	GOWORK=off go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

bench: ## the Go benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem . ./receive

fuzz: ## every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

long: ## random kills, a million rows, soak, long fuzzing: about an hour
	WEBHOOK_TEST_LONG=1 go test -timeout 60m work
	.ci/fuzz 3m

mutation: ## which changes of the critical code no test notices
	tools/mutation

compose: ## PostgreSQL and MariaDB in containers for the tests
	docker compose -f tools/compose.yaml up --wait
	@echo "export WEBHOOK_TEST_POSTGRES_DSN='postgres://webhook:webhook@127.0.0.1:5432/webhook?sslmode=disable'"
	@echo "export WEBHOOK_TEST_MYSQL_DSN='root:webhook@tcp(127.0.0.1:3306)/webhook'"

compose-down: ## stop and remove them
	docker compose -f tools/compose.yaml down --volumes

ci: ## what must pass before a change lands
	.ci/run

tools/bin/tools: tools/go.mod tools/go.sum tools/gosec/main.go
	GOWORK=off go -C tools build -o bin/ tool ./gosec
	@touch $@
