# Gantry. `make help` lists what can be made.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
GO      ?= go
TOOLS   := bin/tools
# Servers to measure beside, which bench-signals makes when PEERS=1 asks for them.
JAEGER  := bin/peers/jaeger-all-in-one
ZIPKIN  := bin/peers/zipkin-server-3.5.1-exec.jar
NPM     ?= npm
# The plugin that makes the console's client; there is none without npm.
ES      := console/node_modules/.bin/protoc-gen-es
# The modules of other people's programs: conformance, and what has a go.mod below it.
CONFORMANCE := $(patsubst %/go.mod,%,$(wildcard conformance/go.mod conformance/*/go.mod))

.DEFAULT_GOAL := help
.PHONY: help build console demo test test-console conformance bench bench-signals lint generate check-generated tools clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: console ## Build bin/gantry, static; with the console where npm is
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gantry ./cmd/gantry

# What the console in the binary is made of. Without npm it is left out, and `make build CONSOLE=no` leaves it out although npm is there.
CONSOLE         ?= $(if $(shell command -v npm 2>/dev/null),yes,no)
CONSOLE_PAGE    := internal/console/dist/index.html
CONSOLE_MODULES := console/node_modules/.installed
CONSOLE_SOURCES := $(shell find console \( -name node_modules -o -name e2e \) -prune -o -type f ! -name '*.test.ts' ! -name '*.test.tsx' -print 2>/dev/null)

ifeq ($(CONSOLE),yes)
console: $(if $(CONSOLE_SOURCES),$(CONSOLE_PAGE))
else
console:
	@if [ -e $(CONSOLE_PAGE) ]; then echo "the console in the binary is the one that was built before: npm is missing, or CONSOLE=$(CONSOLE)"; \
		else echo "the console is left out of the binary: npm is missing, or CONSOLE=$(CONSOLE) (docs/console.md)"; fi
endif

$(CONSOLE_MODULES): console/package-lock.json
	cd console && npm ci --no-audit --no-fund
	@mkdir -p $(@D) && touch $@

$(CONSOLE_PAGE): $(CONSOLE_SOURCES) | $(CONSOLE_MODULES)
	cd console && npm run build

demo: build ## Start a server and a small lender's fleet, and say what to try
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./examples/lending/...
	bin/demo -gantry bin/gantry -bin bin $(DEMO_FLAGS)

test: ## Unit, property and integration tests, with the race detector
	$(GO) test -race -count=1 -timeout 600s ./...
	cd sdk && GOWORK=off $(GO) test -race -timeout 120s ./...
	cd bench && GOWORK=off $(GO) test ./...

# The users' tasks run against the binary that holds what was just checked.
test-console: $(CONSOLE_MODULES) ## The console: types, lint, unit tests, size, and users' tasks in Chromium
	cd console && npm run check
	$(MAKE) build CONSOLE=yes
	@if [ -d console/e2e ]; then CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./examples/lending/... && cd console && npm run e2e; fi

conformance: build ## Other people's programs against a live server
	@set -e; for module in $(CONFORMANCE); do echo "== $$module"; (cd $$module && GOWORK=off $(GO) test -count=1 -timeout 600s ./...); done

bench: build ## Measure, and print the table of docs/benchmarks.md
	cd bench && GOWORK=off $(GO) run . -server ../bin/gantry $(BENCH_FLAGS)

bench-signals: build $(if $(PEERS),$(JAEGER) $(ZIPKIN)) ## Measure how traces are taken in and found; PEERS=1: beside Jaeger and Zipkin
	mkdir -p bin && $(GO) build -o bin/record ./examples/lending/record
	bin/record -out bin/fleet.otlp -spans 20000
	cd bench && GOWORK=off $(GO) run ./signals -server ../bin/gantry -corpus ../bin/fleet.otlp $(if $(PEERS),-jaeger ../$(JAEGER) -zipkin ../$(ZIPKIN)) $(BENCH_FLAGS)

$(JAEGER): bench/peers/go.mod bench/peers/go.sum
	cd bench/peers && GOWORK=off $(GO) build -trimpath -o ../../$@ github.com/jaegertracing/jaeger/cmd/all-in-one

$(ZIPKIN):
	mvn -B -q dependency:copy -Dartifact=io.zipkin:zipkin-server:$(patsubst zipkin-server-%-exec.jar,%,$(@F)):jar:exec -DoutputDirectory=$(CURDIR)/$(@D)

lint: tools check-generated ## gofmt, vet, staticcheck, generated code and documents
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./... && $(TOOLS)/staticcheck ./...
	cd sdk && $(GO) vet ./... && ../$(TOOLS)/staticcheck ./...
	cd bench && export GOWORK=off && $(GO) vet ./... && ../$(TOOLS)/staticcheck ./...
	@set -e; for module in $(CONFORMANCE); do echo "== $$module"; \
		(cd $$module && export GOWORK=off && $(GO) vet ./... && "$(CURDIR)/$(TOOLS)/staticcheck" ./...); done
	cd tools && GOWORK=off $(GO) vet ./protogen

tools: ## Build the pinned tools into bin/tools
	@mkdir -p $(TOOLS)
	cd tools && GOWORK=off $(GO) build -o ../$(TOOLS)/ google.golang.org/protobuf/cmd/protoc-gen-go \
		google.golang.org/grpc/cmd/protoc-gen-go-grpc connectrpc.com/connect/cmd/protoc-gen-connect-go honnef.co/go/tools/cmd/staticcheck

generate: tools ## Make the code of api/ and the generated documents again
	@if command -v $(NPM) >/dev/null; then test -x $(ES) || (cd console && $(NPM) ci --no-audit --no-fund); \
		else echo "npm is not here: console/src/api/gen stays as it is"; fi
	cd tools && GOWORK=off $(GO) run ./protogen -root .. -plugins ../$(TOOLS) -es "$$(test -x ../$(ES) && echo ../$(ES))"
	$(GO) run ./cmd/gantry help-markdown > docs/commands.md
	$(GO) run ./cmd/gantry settings-markdown > docs/configuration.md

check-generated: generate ## Fail when generated files are not what the sources make
	@git diff --exit-code --stat -- sdk/api console/src/api/gen internal/protocol/peer/peerv1 examples/lending/api docs/commands.md docs/configuration.md \
		|| { echo "generated files are stale: run make generate and commit"; exit 1; }

clean: ## Remove what was built
	rm -rf bin dist
