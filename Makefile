# Each target is one line that calls a script or the `tollgate` command. `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TOLLGATE := .venv/bin/tollgate
PYTHON := .venv/bin/python
S ?=

##@ Use
deploy: bootstrap ## deploy or update the whole stack on this machine; safe to run again
	@$(TOLLGATE) deploy

basic: bootstrap ## start the five-minute set-up: one LiteLLM, the embedded provider, one key, no database
	@$(TOLLGATE) basic $(if $(filter yes,$(DOWN)),--down)

status: bootstrap ## show what runs, whether it is healthy, and its addresses
	@$(TOLLGATE) status

logs: bootstrap ## follow the logs of all services, or of one: S=litellm-1
	@$(TOLLGATE) logs $(S)

top: bootstrap ## show what runs now, by tenant, model, gateway process and replica; ARGS="--once" or "--json"
	@$(TOLLGATE) top $(ARGS)

why: bootstrap ## trace one request: ID=the header request-id of its answer
	@$(if $(ID),$(TOLLGATE) why $(ID) $(ARGS),\
		echo "error: expected a request id: make why ID=..." >&2; exit 1)

doctor: bootstrap ## check Docker, settings, secrets, containers, database, one real request; exit 1 on any FAIL
	@$(TOLLGATE) doctor

plan: bootstrap ## show what tenants/*.yaml would change in LiteLLM; ARGS="--out plan.json" saves the plan for apply
	@$(TOLLGATE) plan $(ARGS) || [ $$? -eq 2 ]

apply: bootstrap ## show the plan, ask, and apply tenants/*.yaml to LiteLLM; ARGS="--yes", or the file of a saved plan
	@$(TOLLGATE) apply $(ARGS)

models: bootstrap ## list models with prices, targets and health; M=NAME sends a request to each target of one model
	@$(TOLLGATE) models $(if $(M),test $(M))

rollout: bootstrap ## replace every replica and gateway process, one after another, without a failed request
	@$(TOLLGATE) rollout

scale: bootstrap ## change the number of replicas or gateway processes without a failed request: N=5, or GATEWAYS=3
	@$(if $(N)$(GATEWAYS),$(TOLLGATE) scale $(N) $(if $(GATEWAYS),--gateways $(GATEWAYS)),\
		echo "error: expected a number: make scale N=5 (replicas), or make scale GATEWAYS=3" >&2; exit 1)

upgrade: bootstrap ## change to another LiteLLM without a failed request: TO=1.108.10; ARGS="--check" only checks
	@$(TOLLGATE) upgrade $(TO) $(ARGS)

rollback: bootstrap ## return to the LiteLLM before the last upgrade; ARGS="--check" only checks
	@$(TOLLGATE) rollback $(ARGS)

tenants: bootstrap ## list every tenant with its models, limits and keys; scripts/manage-tenants.sh changes them
	@$(TOLLGATE) tenant list

backup: bootstrap ## write database, configuration and secrets into one archive below var/backups; ARGS="--no-secrets" or "--keep 14"
	@$(TOLLGATE) backup $(ARGS)

backup-schedule: bootstrap ## schedule backups: AT="17 2 * * *" (UTC), ARGS="--keep 30 --keep-days 30"; OFF=1 stops them
	@$(TOLLGATE) backup-schedule $(if $(OFF),--off,$(if $(AT),"$(AT)") $(ARGS))

restore: bootstrap ## restore an archive (FILE=var/backups/...tar ARGS="--identity KEY") or a moment: AT="2026-11-21 10:00" (UTC)
	@$(if $(or $(FILE),$(AT)),$(TOLLGATE) restore $(FILE) $(if $(AT),--at "$(AT)") $(ARGS),\
		echo 'error: expected an archive or a moment: make restore FILE=... or AT="2026-11-21 10:00"' >&2; exit 1)

start: bootstrap ## start the stopped containers
	@$(TOLLGATE) start

stop: bootstrap ## stop the containers, keep them and their data
	@$(TOLLGATE) stop

restart: bootstrap ## stop and start the containers
	@$(TOLLGATE) restart

down: bootstrap ## remove the containers, keep the data
	@$(TOLLGATE) down

clean: $(if $(filter yes,$(CONFIRM)),bootstrap) ## remove the containers AND THE DATA; needs CONFIRM=yes
	@$(if $(filter yes,$(CONFIRM)),$(TOLLGATE) clean --yes,\
		echo "error: make clean deletes the database and every metric; confirm with: make clean CONFIRM=yes" >&2; exit 1)

##@ Develop
test: bootstrap-dev ## run every test, with a stack of its own; removes what it creates
	@scripts/test.sh $(T)

test-all: bootstrap-dev ## run make test, then every target below that begins with test-; says how long each took
	@$(PYTHON) -m tests.suite.all

test-rollout: bootstrap-dev ## test rollout and scaling under 64 clients with streams of up to a minute
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/stack/test_rollout.py

test-silence: bootstrap-dev ## test Claude Code on an upstream that is silent for more than five minutes
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/clients/test_silence.py

test-upgrade: bootstrap-dev ## test upgrade and rollback between two LiteLLM releases under 64 clients
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh -s tests/upgrade

test-rotation: bootstrap-dev ## test the rotation of every password of the stack under requests
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/stack/test_rotation.py

test-tls: bootstrap-dev ## test the whole stack with TLS, a new certificate under traffic, and egress through a proxy
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/contract/egress tests/stack/test_tls.py

test-restore: bootstrap-dev ## test scheduled backups and a restore to a moment on a whole stack, with a destroyed volume
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/stack/test_moment.py

test-chaos: bootstrap-dev ## break one part of a stack after another under traffic, and print what clients saw
	@$(PYTHON) -m tests.chaos $(ARGS)

check: bootstrap-dev ## run all checks without containers: format, lint, types, shell, unit and golden tests
	@scripts/check.sh

golden: bootstrap-dev ## rewrite the golden files; read the diff before you commit it
	@UPDATE_GOLDEN=1 $(PYTHON) -m pytest tests/golden -m "not docker" -q

docs: bootstrap-dev ## rewrite docs/tenants.md, docs/models.md and their schemas from the code
	@UPDATE_GOLDEN=1 $(PYTHON) -m pytest tests/golden/test_tenant_reference.py tests/golden/test_model_reference.py -q

dist: bootstrap-dev ## build the wheel of the Python client package into var/dist; the same sources give the same bytes
	@scripts/dist.sh

twin: bootstrap-dev ## rewrite the synchronous half of the Python client package from the asynchronous one
	@$(PYTHON) client/tools/twin.py

bench-deploy: bootstrap-dev ## measure cold deploy, warm start and no-op deploy, step by step
	@$(PYTHON) -m tests.bench.deploy

bench-tenants: bootstrap-dev ## measure plan and apply with 10,000 tenants, and how far limits are exceeded; writes docs/performance.md
	@$(PYTHON) -m tests.bench.tenants && $(PYTHON) -m tests.bench.overspend

bench-gateway: bootstrap-dev ## measure the direct route beside LiteLLM and others, in about ten minutes; ARGS="--only streams --json"
	@$(PYTHON) -m tests.bench.gateway $(ARGS)

bench-panels: bootstrap-dev ## measure what each query of the dashboards costs Prometheus at 1,000 tenants; ARGS="--tenants 100"
	@$(PYTHON) -m tests.bench.panels $(ARGS)

bench-overhead: bootstrap-dev ## measure the time that a replica adds to a request
	@$(PYTHON) -m tests.bench.overhead

scan: bootstrap-dev ## list known vulnerabilities of every pinned version; exit 3 if the index could not be asked
	@$(TOLLGATE) scan

lock: bootstrap-dev ## resolve every lock file again, with hashes
	@scripts/lock.sh $(ARGS)

##@ Set-up
bootstrap: ## create .venv from the lock file (every target does this first)
	@scripts/bootstrap.sh

bootstrap-dev: ## create .venv with the packages for tests and checks
	@scripts/bootstrap.sh --dev

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deploy \
	basic \
	status \
	logs \
	models \
	top \
	why \
	doctor \
	plan \
	apply \
	rollout \
	scale \
	upgrade \
	rollback \
	tenants \
	backup \
	backup-schedule \
	restore \
	start \
	stop \
	restart \
	down \
	clean \
	test \
	test-all \
	test-rollout \
	test-restore \
	test-chaos \
	test-rotation \
	test-silence \
	test-upgrade \
	test-tls \
	check \
	golden \
	docs \
	dist \
	twin \
	bench-deploy \
	bench-tenants \
	bench-gateway \
	bench-panels \
	bench-overhead \
	scan \
	lock \
	bootstrap \
	bootstrap-dev \
	help
