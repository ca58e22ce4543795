# Targets for people and for .ci/run. `make` alone lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATICCHECK := bin/tools/staticcheck-v0.8.2
BENCH       ?= .
BENCHTIME   ?= 1s
FUZZTIME    ?= 10s
SEEDS       ?= 200
RUNS        ?= 5000
SOAK        ?= 1h
FROM        ?= 1

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## static bin/tandem with its version in it
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/tandem ./cmd/tandem

.PHONY: demo
demo: build ## three nodes on loopback, traffic, the leader killed, a verdict
	bin/tandem demo

.PHONY: test
test: check unit race e2e ## everything that CI runs
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2000x
	@$(MAKE) --no-print-directory swarm SEEDS=40
	@$(MAKE) --no-print-directory alone
	@$(MAKE) --no-print-directory plants SEEDS=0

.PHONY: check
check: $(STATICCHECK) ## gofmt, vet, staticcheck, the house rules, go.mod
	@bad=$$(git ls-files -z '*.go' | xargs -0r gofmt -l); [[ -z $$bad ]] || { echo "gofmt -w these: $$bad"; exit 1; }
	@.ci/timed vet go vet -tags e2e ./...
	@.ci/timed staticcheck $(STATICCHECK) -tags e2e ./...
	@.ci/timed tidy go test -count=1 .
	@.ci/timed go.mod go mod tidy -diff

.PHONY: unit
unit: ## go test ./..., needs nothing but Go
	@.ci/timed unit go test -timeout 5m ./...

# GOMAXPROCS=1: before Go 1.27 the race detector can crash inside a
# testing/synctest bubble when a timer runs on another thread (go.dev/issue/76691).
.PHONY: race
race: ## the same under the race detector, one thread a package; of the simulator a part
	@.ci/need gcc gcc libc6-dev
	@GOMAXPROCS=1 .ci/timed race go test -race -p 2 -timeout 8m $$(go list ./... | grep -v '/chaos/sim$$')
	@GOMAXPROCS=1 .ci/timed race-sim go test -race -timeout 8m ./chaos/sim -seeds 1 -skip 'Stories|Rejoin|TopUps|MoneyRunsOut'

.PHONY: e2e
e2e: build ## acceptance: real processes, sipp as customer and as carrier
	@.ci/need sipp sip-tester
	@.ci/timed e2e go test -tags e2e -count=1 -timeout 12m ./cmd/...

# The acceptance figures take long; CI runs the same tests for half a minute each.
.PHONY: survive
survive: build ## 1,000 calls, 20 kills of nodes that own them, with the guard process and without
	@.ci/timed survive env TANDEM_E2E_FULL=1 go test -tags e2e -count=1 -v -timeout 40m -run 'TestSurvive' ./cmd/tandem/e2e

.PHONY: roll
roll: build ## roll a live cluster from the commit before (TANDEM_E2E_FROM=COMMIT) and back, restart all nodes
	@.ci/timed roll env TANDEM_E2E_FULL=1 go test -tags e2e -count=1 -v -timeout 20m -run 'TestRoll' ./cmd/tandem/e2e

.PHONY: soak
soak: build ## SOAK=1h of calls with a fault every 30 s: nothing is lost, nothing piles up
	@.ci/timed soak env TANDEM_E2E_FULL=1 SOAK=$(SOAK) go test -tags e2e -count=1 -v -timeout 3h -run 'TestSoak' ./cmd/tandem/e2e

.PHONY: bench
bench: ## benchmarks beside the code; BENCH=regexp BENCHTIME=1s
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME=10s
	@.ci/timed fuzz .ci/fuzz $(FUZZTIME)

.PHONY: swarm
swarm: ## SEEDS=200 whole clusters in virtual time, from seed FROM=1, each exactly repeatable
	@go run ./chaos/sim/exact -out bin/.exact
	@.ci/timed build go test -c -tags simexact -overlay bin/.exact/overlay.json -o bin/.exact/sim.test ./chaos/sim
	@.ci/timed swarm .ci/swarm bin/.exact/sim.test $(FROM) $(SEEDS)

.PHONY: alone
alone: ## the state machine by itself: RUNS=5000 stories of random commands
	@go test -c -o bin/alone.test ./chaos
	@.ci/timed alone bash -c 'cd chaos; for i in 0 1; do ../bin/alone.test -test.run AloneSwarm -seeds $$(($(RUNS) / 2)) -from $$((1 + i * $(RUNS) / 2)) & pids="$$pids $$!"; done; for p in $$pids; do wait $$p || exit 1; done'

.PHONY: plants
plants: ## hunt each planted bug within SEEDS=200 seeds; SEEDS=0: only its recorded seed
	@go run ./chaos/sim/exact -out bin/.exact
	@.ci/timed build bash -c 'for p in chaos chaos/sim; do go test -c -tags "simexact plants" -overlay bin/.exact/overlay.json -o bin/.exact/$$(basename $$p).plants ./$$p; done'
	@.ci/timed plants .ci/plants bin/.exact $(SEEDS)

# The linter is built once per version and stays out of go.mod.
$(STATICCHECK):
	@mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) go install honnef.co/go/tools/cmd/staticcheck@v0.8.2
	@mv $(@D)/staticcheck $@

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
