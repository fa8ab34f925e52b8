# Every task of the project. `make` alone lists them.
PYTHON := .venv/bin/python
PACKAGES := schema bus traces engine virt frontend redirector eventhub dashboard worker_sim worker_kvm worker_xen xenops stack simulation xenops_testing
TEST_DIRECTORIES := $(wildcard shared/*/tests services/*/tests clients/tests stack/tests simulation/tests testing/tests tools/tests)
DIR ?= ../shared/golden
BUS ?= rabbitmq
INPUTS ?= 100000
STORE ?= files
BACKEND ?= qemu
SERVICE ?=
SEEDS ?= 1000
EVERY ?= 1
SLICES ?=
REPLAY ?=
UPGRADE ?=
SIM_SECONDS ?= 120
UNIT ?= unit

.DEFAULT_GOAL := help
.PHONY: help man images test-compose deb test-deb screenshots openapi docs lock xen-host test-xen-life test-xen test-passthrough containers sim sim-fresh conformance conformance-xen explore faults setup demo up down status restart test unit integration check format lint types imports sizes isolate coverage golden bench fuzz clean async-client asyncapi

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing, build the Python environment
	@python3 tools/setup.py

demo: setup ## One VM's life, from nothing and back, through every service
	@$(PYTHON) -m stack demo

up: setup ## Start the stack and keep it running; BUS=memory: without a broker; STORE=xenstored or oxenstored: metadata there; BACKEND=libvirt: VMs by a libvirtd of its own
	@$(PYTHON) -m stack up --bus "$(BUS)" --store "$(STORE)" --backend "$(BACKEND)"

down: ## End the stack and its VMs; what the services keep stays for the next `make up`
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m stack down; fi

status: ## Show what of the stack runs
	@$(PYTHON) -m stack status

restart: ## Restart one service of the stack: make restart SERVICE=frontend
	@$(PYTHON) -m stack restart "$(SERVICE)"

test: setup $(UNIT) integration sim-fresh containers ## Set up, then all tests, against the real parts

unit:
	@$(PYTHON) -m pytest -q -n 2 $(TEST_DIRECTORIES)

integration:
	@$(PYTHON) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/xen tests/integration tests/fuzz tests/faults tests/explore

containers:
	@$(PYTHON) tools/containers.py

sim: ## All services in one process by a virtual clock: make sim SEEDS=10000, or REPLAY=file
	@$(PYTHON) -m simulation $(if $(REPLAY),--replay $(REPLAY),--seeds $(SEEDS))

sim-fresh:
	@$(PYTHON) -m simulation --seconds $(SIM_SECONDS)

fuzz: setup ## Arbitrary and damaged input to cores and doors: make fuzz INPUTS=1000000
	@$(PYTHON) tests/fuzz/fuzz_core.py $(INPUTS)
	@$(PYTHON) tests/fuzz/fuzz_doors.py $(INPUTS) --memory
	@$(PYTHON) tests/fuzz/fuzz_doors.py $$(( $(INPUTS) / 20 ))

explore: setup ## Random lives of VMs, held against a model: on the stack of XENOPS_BROKER and XENOPS_INSTANCE, as `make up` prints them, or, without, on the simulator in one process; LIVES=20, SEED=7, RESTARTS=1: services are started anew meanwhile
	@if [ -n "$(XENOPS_BROKER)" ]; then $(PYTHON) tests/explore/explore.py --lives $(or $(LIVES),5) $(if $(SEED),--seed $(SEED)) $(if $(RESTARTS),--restarts); else XENOPS_TEST_EXPLORE_SEED=$(or $(SEED),$(shell date +%s)) $(PYTHON) -m pytest -q tests/explore; fi

faults: setup ## Kill every service at every crash point, and all else of docs/faults.md; ended, it goes on next time with what is left; EVERY=3: at one of three; SLICES="load/* start/*": no more than that
	@$(PYTHON) tests/faults/faults_table.py --every $(EVERY) $(SLICES:%='%')
	@.venv/bin/mdformat docs/faults.md

images: setup ## The images of docker-compose.yml, from a registry's Debian or from Debian's packages
	@$(PYTHON) tools/images.py

test-compose: setup ## docker-compose.yml from nothing to running VMs and back, with all profiles
	@$(PYTHON) tools/docker_engine.py sh -c '$(PYTHON) tools/images.py && $(PYTHON) -m pytest -q tests/compose'

deb: setup ## A Debian package of all services for hosts, with units: var/deb/*.deb
	@$(PYTHON) tools/deb.py

test-deb: deb ## That package on a host: a container whose first process is systemd
	@$(PYTHON) tools/docker_engine.py $(PYTHON) -m pytest -q tests/packaging

xen-host: setup ## A Xen host for tests, emulated: built if need be, started, kept until Ctrl and C
	@$(PYTHON) tools/xen_host.py

test-xen-life: setup ## A VM's life on that host, through the bus, by classic: some minutes, also where others use the cores
	@$(PYTHON) -m pytest -q tests/xen/test_xen_through_the_bus.py

test-xen: deb ## All tests inside dom0 of that host, with the Debian package's: an hour of a processor's time, and more where others use it
	@XENOPS_TEST_XEN_ALL=1 $(PYTHON) -m pytest -q tests/xen

test-passthrough: setup ## PCI and USB devices in guests, on an emulated computer with an IOMMU: some minutes
	@XENOPS_TEST_DEVICES=1 $(PYTHON) -m pytest -q tests/devices/test_in_emulated_host.py

check: format lint types imports sizes golden docs coverage isolate ## All gates

format:
	@.venv/bin/ruff format --check .
	@.venv/bin/mdformat --check $(shell git ls-files '*.md')

lint:
	@.venv/bin/ruff check .

types:
	@.venv/bin/mypy $(addprefix -p ,$(PACKAGES))
	@MYPYPATH=tools:tests/xen:examples/nightly:examples/first .venv/bin/mypy tools bench examples
	@for directory in $(TEST_DIRECTORIES) tests/integration tests/fuzz tests/faults tests/explore tests/compose tests/packaging; do MYPYPATH=tools:tests/xen .venv/bin/mypy $$directory || exit 1; done
	@MYPYPATH=tools:tests/xen:tests/integration .venv/bin/mypy tests/xen
	@MYPYPATH=tools:tests/integration .venv/bin/mypy tests/devices

imports:
	@.venv/bin/lint-imports

sizes:
	@$(PYTHON) tools/sizes.py

coverage:
	@$(PYTHON) tools/coverage_gate.py $(TEST_DIRECTORIES)

isolate: ## Each distribution installs alone and imports
	@$(PYTHON) tools/isolate.py

golden: ## Check the wire encoding against a corpus: make golden DIR=…
	@$(PYTHON) -m schema.golden $(DIR)

man: ## Man pages of the commands: var/man/xenops.1 and xenops-stack.8, for `man -l`
	@$(PYTHON) tools/manual.py

asyncapi: ## Descriptions of all that travels, made anew: docs/asyncapi.json, docs/schemas
	@$(PYTHON) tools/schemas.py
	@$(PYTHON) tools/asyncapi.py

lock: ## Lock what requirements.in names; what is locked stays, unless UPGRADE=package
	@$(firstword $(wildcard var/uv/bin/uv) uv) pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		$(if $(UPGRADE),--upgrade-package $(UPGRADE)) requirements.in --output-file requirements.lock

async-client: ## The awaitable client, made of the plain one anew
	@$(PYTHON) tools/async_client.py

screenshots: setup ## The operators' page with an instance at work: docs/operators/*.png, made anew
	@$(PYTHON) tools/screenshots.py

openapi: ## The operators' API as OpenAPI: docs/operators/openapi.json, made anew; names what breaks who uses the released one
	@mkdir -p docs/operators var && $(PYTHON) -m dashboard.web.describe > var/openapi.json && mv var/openapi.json docs/operators/openapi.json
	@$(PYTHON) tools/openapi_gate.py

docs: ## The site of the documents, strictly: var/site; any web server, or `python3 -m http.server -d var/site`, shows it
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs --quiet build --strict && echo "docs: var/site"

conformance: ## Which methods work, by every door, on every backend: docs/conformance.md, made anew
	@$(PYTHON) tests/integration/conformance_table.py > var/conformance.md && .venv/bin/mdformat var/conformance.md && mv var/conformance.md docs/conformance.md

conformance-xen: ## The same on each backend of Xen, emulated: docs/conformance-xen.md, made anew
	@PYTHONPATH=tools:tests/integration:tests/xen $(PYTHON) tests/xen/xen_tour.py > var/conformance-xen.md && .venv/bin/mdformat var/conformance-xen.md && mv var/conformance-xen.md docs/conformance-xen.md

bench: ## Run every benchmark and print its figures
	@for script in bench/bench_*.py; do echo "== $$script"; $(PYTHON) $$script || exit 1; done

clean: down ## Remove what was built
	@rm -rf var .venv .mypy_cache .ruff_cache .pytest_cache .coverage
