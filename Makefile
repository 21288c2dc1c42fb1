# Set-up and checks. `make help` lists what there is.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
JOBS ?= 8
MARKS ?= random and not slow
SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow conformance explore chaos chaos-celery fuzz check lint types docs format bench bench-full bench-bytes bench-codec bench-idle bench-import bench-large bench-memory bench-peers bench-rabbitmq bench-scaling bench-workflow bench-waits clean dist ecosystem bench-stores bench-fleet bench-arrangements bench-shards

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

demo: $(VENV)/.demo ## install, and run a real workflow on a private Redis and two workers
	@$(BIN)/canvas demo

test: $(VENV)/.test ## install what the tests need, servers included, and run them; JOBS=N processes
	@$(BIN)/python -m tests.support.rabbitmq install
	@$(BIN)/python -m tests.support.chromium install
	@$(BIN)/python -m tests.support.memcached install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-slow: $(VENV)/.test ## the long matrix
	@$(BIN)/python -m tests.support.rabbitmq install
	@$(BIN)/python -m tests.support.chromium install
	@$(BIN)/python -m tests.support.memcached install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow

conformance: $(VENV)/.test ## Celery's own test suites against canvas, downloaded with pip (20 minutes)
	$(BIN)/python -m tests.conformance

explore: $(VENV)/.test ## tests that draw their inputs, with a new seed; SEED=N repeats a run, MARKS=random takes the slow ones too
	@echo "seed $(SEED); repeat this run with: make explore SEED=$(SEED)"
	EXPLORE_SEED=$(SEED) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "$(MARKS)" --hypothesis-profile=explore --hypothesis-seed=$(SEED)

chaos: $(VENV)/.test ## kills at every instant, faults of Redis, hostile messages, load: all of it (30 minutes)
	$(BIN)/python -m pytest tests/chaos -m "slow or not slow"

chaos-celery: $(VENV)/.test ## what canvas and Celery lose when their workers are killed
	$(BIN)/python -m tests.chaos.beside_celery

fuzz: $(VENV)/.test ## five minutes of fuzzing led by coverage, over all that reads what others wrote
	@$(PIP) install -e '.[fuzz]'
	$(BIN)/python -m tests.chaos.fuzz -max_total_time=300

check: lint types docs test ## all that is checked before a change lands

lint: $(VENV)/.test ## style and format
	$(BIN)/ruff check canvas tests benchmarks docs
	$(BIN)/ruff format --check canvas tests benchmarks docs

types: $(VENV)/.test ## mypy, strict
	$(BIN)/mypy

docs: $(VENV)/.test ## build the documentation as a site into build/site, strictly: stale pages and broken links are errors
	@$(BIN)/python -m docs.generate --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -q -f .mkdocs.yml

format: $(VENV)/.test ## put the code into form
	$(BIN)/ruff check --fix-only -q canvas tests benchmarks docs
	$(BIN)/ruff format canvas tests benchmarks docs

bench: $(VENV)/.test ## the short tables of speed, over TCP and a socket, warm and cold, beside Celery and others (15 minutes); KEEP=name keeps them
	$(BIN)/python -m benchmarks --peers .peers $(and $(KEEP),--keep $(KEEP))

bench-full: $(VENV)/.test ## the same with more rounds and work, and all of the following
	$(BIN)/python -m benchmarks --full
	$(MAKE) --no-print-directory bench-scaling bench-large bench-memory bench-idle bench-workflow bench-waits bench-import bench-codec bench-bytes

bench-scaling: $(VENV)/.test ## one to eight processes on one Redis; chords of 1,000 to 100,000
	$(BIN)/python -m benchmarks.scaling

bench-fleet: $(VENV)/.test ## up to a thousand simulated workers without work at one Redis (4 minutes)
	$(BIN)/python -m benchmarks.fleet

bench-arrangements: $(VENV)/.test ## one Redis, two, Sentinel, a cluster, shards: what a task costs, how long a kill stops them (5 minutes)
	$(BIN)/python -m benchmarks.arrangements

bench-shards: $(VENV)/.test ## two shards beside one server, where Redis is the limit (1 minute)
	$(BIN)/python -m benchmarks.shards

bench-memory: $(VENV)/.test ## a worker's memory at rest, over many tasks, with a million waiting
	$(BIN)/python -m benchmarks.worker_memory

bench-idle: $(VENV)/.test ## what a worker without work costs, beside Celery's
	$(BIN)/python -m benchmarks.idle

bench-workflow: $(VENV)/.test ## compile time and bytes of random graphs, and a run beside independent tasks
	$(BIN)/python -m benchmarks.workflow

bench-waits: $(VENV)/.test ## workflows that wait: bytes, signals, timers; rounds and runs inside beside links
	$(BIN)/python -m benchmarks.waits

bench-stores: $(VENV)/.test ## results in PostgreSQL and Memcached, beside Celery's backends on the same servers
	@$(BIN)/python -m tests.support.memcached install
	$(BIN)/python -m benchmarks.stores

bench-import: $(VENV)/.test ## milliseconds of `import canvas`, and until a worker is ready
	$(BIN)/python -m benchmarks.import_time

bench-codec: $(VENV)/.test ## microseconds to encode and decode a message
	$(BIN)/python -m benchmarks.codec

bench-rabbitmq: $(VENV)/.test ## canvas beside Celery on one RabbitMQ, with Redis and rpc:// results (10 minutes)
	@$(BIN)/python -m tests.support.rabbitmq install
	$(BIN)/python -m benchmarks.rabbitmq

bench-large: $(VENV)/.test ## groups, chords, maps and workflows of 10,000 and 100,000, a value of 50 MB: time and memory (8 minutes)
	$(BIN)/python -m benchmarks.large

bench-peers: $(VENV)/.test ## dramatiq, rq, huey, arq, saq and taskiq beside canvas, installed in .peers
	$(BIN)/python -m benchmarks.peers .peers

bench-bytes: $(VENV)/.test ## bytes that workflows send, beside Celery's
	$(BIN)/python -m benchmarks.message_bytes

ecosystem: $(VENV)/.test ## projects and plug-ins written for Celery, unchanged, on canvas (10 minutes)
	$(BIN)/python -m pytest tests/ecosystem tests/as_celery -m "slow or not slow"

dist: $(VENV)/.test ## build the wheels of canvas and of celery-on-canvas, which provides the name celery, into dist/
	$(PIP) wheel --no-deps -w dist . ./.packaging/celery-on-canvas

clean: ## remove what was installed and cached
	rm -rf $(VENV) .conformance .celery-versions .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "canvas needs Python 3.11, 3.12 or 3.13; none was found. Set PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m virtualenv -q $(VENV) 2>/dev/null; } \
	|| { rm -rf $(VENV); [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	     && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); } \
	|| { rm -rf $(VENV); echo "cannot make a virtual environment: install python3-venv (Debian) or virtualenv"; exit 1; }

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	@echo "installing into $(VENV) …"
	@$(PIP) install -e '.[embedded,dashboard]'
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	@echo "installing into $(VENV) …"
	@$(PIP) install -e '.[test]'
	@# Its releases exclude the latest Celery until they are tested with it.
	@$(PIP) install --no-deps celery-batches==0.11
	@touch $@ $(VENV)/.demo
