# Everything here is one line that calls a script or the `tollgate` command; `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TOLLGATE := .venv/bin/tollgate
PYTHON := .venv/bin/python
S ?=

##@ Use
deploy: bootstrap ## bring the whole stack up on this machine, or bring it up to date; safe to run again
	@$(TOLLGATE) deploy

basic: bootstrap ## the five-minute set-up: one LiteLLM, the embedded provider, one key, no database
	@$(TOLLGATE) basic $(if $(filter yes,$(DOWN)),--down)

status: bootstrap ## what runs, whether it is healthy, and where it is
	@$(TOLLGATE) status

logs: bootstrap ## follow the logs; S=litellm-1 narrows it to one service
	@$(TOLLGATE) logs $(S)

doctor: bootstrap ## check engine, settings, secrets, containers, database, one real request; exit 1 on any FAIL
	@$(TOLLGATE) doctor

plan: bootstrap ## what tenants/*.yaml would change in LiteLLM; changes nothing; ARGS="--out plan.json" keeps it for apply
	@$(TOLLGATE) plan $(ARGS) || [ $$? -eq 2 ]

apply: bootstrap ## make LiteLLM what tenants/*.yaml say: shows the plan, asks, applies; ARGS="--yes" or a plan's file
	@$(TOLLGATE) apply $(ARGS)

models: bootstrap ## what is served: names, prices, targets, healthy or not; M=NAME asks each target of one
	@$(TOLLGATE) models $(if $(M),test $(M))

rollout: bootstrap ## replace every replica, one after another, without anyone noticing
	@$(TOLLGATE) rollout

scale: bootstrap ## change the number of replicas without anyone noticing: make scale N=5
	@$(if $(N),$(TOLLGATE) scale $(N),echo "error: how many replicas? make scale N=5" >&2; exit 1)

upgrade: bootstrap ## another LiteLLM, without anyone noticing; make upgrade TO=1.108.10 ARGS="--check" only looks
	@$(TOLLGATE) upgrade $(TO) $(ARGS)

rollback: bootstrap ## return to the LiteLLM before the last upgrade; ARGS="--check" only looks
	@$(TOLLGATE) rollback $(ARGS)

tenants: bootstrap ## every tenant with its models, limits and keys; scripts/manage-tenants.sh changes them
	@$(TOLLGATE) tenant list

backup: bootstrap ## database, configuration and secrets as one archive below var/backups; ARGS="--no-secrets" or "--keep 14"
	@$(TOLLGATE) backup $(ARGS)

backup-schedule: bootstrap ## take backups by themselves: AT="17 2 * * *" (UTC), ARGS="--keep 30 --keep-days 30"; OFF=1 ends it
	@$(TOLLGATE) backup-schedule $(if $(OFF),--off,$(if $(AT),"$(AT)") $(ARGS))

restore: bootstrap ## bring an archive back (FILE=var/backups/...tar ARGS="--identity KEY"), or a moment: AT="2026-11-21 10:00" (UTC)
	@$(if $(or $(FILE),$(AT)),$(TOLLGATE) restore $(FILE) $(if $(AT),--at "$(AT)") $(ARGS),\
		echo 'error: which archive, or which moment? make restore FILE=... or AT="2026-11-21 10:00"' >&2; exit 1)

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
		echo "error: make clean deletes the database and every metric: say make clean CONFIRM=yes" >&2; exit 1)

##@ Develop
test: bootstrap-dev ## every test, the whole stack included; does its own set-up and leaves nothing behind
	@scripts/test.sh $(T)

test-rollout: bootstrap-dev ## rollout and scaling under 64 clients with streams of up to a minute
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/stack/test_rollout.py

test-silence: bootstrap-dev ## Claude Code on an upstream that says nothing for more than five minutes
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/clients/test_silence.py

test-upgrade: bootstrap-dev ## upgrade and rollback between two LiteLLM releases under 64 clients
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh -s tests/upgrade

test-rotation: bootstrap-dev ## every password of the stack rotated while requests go on
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/stack/test_rotation.py

test-tls: bootstrap-dev ## the whole stack with TLS on, every kind of client, a new certificate under traffic; egress by a proxy
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/contract/egress tests/stack/test_tls.py

test-restore: bootstrap-dev ## the drill on a whole stack: backups by themselves, volume destroyed, a moment restored
	@TOLLGATE_LONG_TESTS=1 scripts/test.sh tests/stack/test_moment.py

test-chaos: bootstrap-dev ## break one part of a stack after another under traffic, and print what clients saw
	@$(PYTHON) -m tests.chaos $(ARGS)

check: bootstrap-dev ## what CI runs without containers: format, lint, types, shell, unit and golden tests
	@scripts/check.sh

golden: bootstrap-dev ## write the golden files anew; read the diff before you commit it
	@UPDATE_GOLDEN=1 $(PYTHON) -m pytest tests/golden -m "not docker" -q

docs: bootstrap-dev ## write docs/tenants.md, docs/models.md and their schemas anew, from the models of the files
	@UPDATE_GOLDEN=1 $(PYTHON) -m pytest tests/golden/test_tenant_reference.py tests/golden/test_model_reference.py -q

bench-deploy: bootstrap-dev ## measure cold deploy, warm start and no-op deploy, step by step
	@$(PYTHON) -m tests.bench.deploy

bench-tenants: bootstrap-dev ## measure plan and apply with 10,000 tenants, and how far limits are overrun; into docs/performance.md
	@$(PYTHON) -m tests.bench.tenants && $(PYTHON) -m tests.bench.overspend

bench-overhead: bootstrap-dev ## measure what a replica adds to a request's time; prints a table
	@$(PYTHON) -m tests.bench.overhead

scan: bootstrap-dev ## known vulnerabilities of every pinned version; exit 3 where they could not be asked for
	@$(TOLLGATE) scan

lock: bootstrap-dev ## resolve every lock file anew, with hashes
	@scripts/lock.sh $(ARGS)

##@ Set-up
bootstrap: ## make .venv from the lock file (every target does this first)
	@scripts/bootstrap.sh

bootstrap-dev: ## the same with what tests and checks need
	@scripts/bootstrap.sh --dev

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deploy \
	basic \
	status \
	logs \
	models \
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
	bench-deploy \
	bench-tenants \
	bench-overhead \
	scan \
	lock \
	bootstrap \
	bootstrap-dev \
	help
