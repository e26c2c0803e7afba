# Everything a checkout needs, from nothing but Python 3.10 to 3.13 and make.

PYTHON ?= python3
PY := .venv/bin/python
PIP_FLAGS := --quiet --disable-pip-version-check

# the CPU-only wheel exists for x86_64 Linux; elsewhere `tensorflow` is that build
TENSORFLOW := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),tensorflow-cpu,tensorflow)
TENSORFLOW_RELEASE := 2.21.0

# older releases for the slow tests: the full version, and the newest Python 3.x it has wheels for
FULL_2.20 := 2.20.0
FULL_2.19 := 2.19.1
FULL_2.18 := 2.18.1
FULL_2.17 := 2.17.1
FULL_2.16 := 2.16.2
FULL_2.15 := 2.15.1
FULL_2.14 := 2.14.1
FULL_2.13 := 2.13.1
FULL_2.12 := 2.12.1
NEWEST_2.20 := 13
NEWEST_2.19 := 12
NEWEST_2.18 := 12
NEWEST_2.17 := 12
NEWEST_2.16 := 12
NEWEST_2.15 := 11
NEWEST_2.14 := 11
NEWEST_2.13 := 11
NEWEST_2.12 := 11
RELEASES := 2.20 2.19 2.18 2.17 2.16 2.15 2.14 2.13 2.12

PYTEST_ARGS ?=
BENCH_ARGS ?=
LAB_ARGS ?=
SURVEY_ARGS ?= --write
PEERS_ARGS ?= --write

# set up once, and again where one of these two files has changed
VENV_READY := .venv/.ready-venv
DEMO_READY := .venv/.ready-demo
TEST_READY := .venv/.ready-test
BENCH_READY := .venv/.ready-bench
INPUTS := pyproject.toml Makefile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint types test-slow test-gpu lab lab-musl-python bench survey peers docs clean tensorflow-2.18 tensorflow-2.15 mac-oracle

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(TEST_READY)  ## the environment in .venv: tfguard, TensorFlow and the test tools

demo: $(DEMO_READY)  ## check, import, build and load for real, then four breakages caught
	@$(PY) demo/demo.py

test: lint types  ## lint, types and the default test suite, real TensorFlow included
	$(PY) -m pytest $(PYTEST_ARGS)

lint: $(TEST_READY)  ## ruff: rules and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(TEST_READY)  ## mypy --strict over library, tests and demo
	$(PY) -m mypy

test-slow: $(TEST_READY) tensorflow-2.18 tensorflow-2.15  ## the slow tests, with TensorFlow 2.18 and 2.15 beside 2.21
	@if [ -e .venv-2.18/.ready ]; then export TFGUARD_TEST_TF_2_18="$(CURDIR)/.venv-2.18/bin/python"; fi; \
	if [ -e .venv-2.15/.ready ]; then export TFGUARD_TEST_TF_2_15="$(CURDIR)/.venv-2.15/bin/python"; fi; \
	$(PY) -m pytest -m slow $(PYTEST_ARGS)

test-gpu: $(TEST_READY) .venv-gpu/.ready  ## what is said of GPUs, beside TensorFlow's build for them (4 GB; no GPU needed)
	@TFGUARD_TEST_TF_GPU="$(CURDIR)/.venv-gpu/bin/python" \
	$(PY) -m pytest -m slow tests/slow/test_gpu_stack.py $(PYTEST_ARGS)

lab: $(TEST_READY)  ## ask the loaders of other worlds (Debian 11 to unstable, i386, arm64, musl), as root; builds what is missing
	$(PY) -m tests.oracle.lab $(LAB_ARGS)

lab-musl-python: $(TEST_READY)  ## a Python built for musl, with wheels: every load foretold in it and done, as root (ten minutes once)
	$(PY) -m tests.musl.live

test-releases: $(TEST_READY) $(RELEASES:%=tensorflow-%)  ## what is installed, with TensorFlow 2.12 to 2.20 (10 GB)
	@for release in $(RELEASES); do if [ -e .venv-$$release/.ready ]; then \
	  export "TFGUARD_TEST_TF_$$(echo $$release | tr . _)=$(CURDIR)/.venv-$$release/bin/python"; fi; done; \
	$(PY) -m pytest -m slow tests/installation/test_releases.py $(PYTEST_ARGS)

bench: $(BENCH_READY)  ## tfguard beside ldd, libtree, lddtree, auditwheel, LIEF
	@$(PY) benchmarks/run.py $(BENCH_ARGS)

survey: $(TEST_READY)  ## load every shared object of a hundred packages, and compare (an hour, 15 GB in .cache)
	@nice -n 15 $(PY) -m tests.survey $(SURVEY_ARGS)

peers: $(BENCH_READY)  ## put every question of the loader's tests to ldd, libtree, lddtree and auditwheel as well
	@nice -n 15 $(PY) -m tests.peers $(PEERS_ARGS)

mac-oracle: $(VENV_READY)  ## on a Mac with clang: ask its dyld, compare with what tfguard foresees, print JSON
	@$(PY) -m pip install $(PIP_FLAGS) -e . >&2
	@$(PY) tools/mac_oracle.py

docs: $(DEMO_READY)  ## write the generated pages anew
	@$(PY) docs/generate.py

clean:  ## remove all that was made here: environments, caches, built files
	rm -rf .venv $(RELEASES:%=.venv-%) .venv-gpu demo/build build dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call make_venv,PYTHON,DIRECTORY)
define make_venv
	$1 -m venv $2 || { \
	  echo "make: $1 could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
endef

$(VENV_READY):
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); say make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.exit("make: TensorFlow \
	$(TENSORFLOW_RELEASE) needs Python 3.10 to 3.13, $(PYTHON) is %d.%d; say make PYTHON=python3.13" % sys.version_info[:2])'
	@echo "setting up .venv" >&2
	@$(call make_venv,$(PYTHON),.venv)
	@touch $@

$(DEMO_READY): $(VENV_READY) $(INPUTS)
	@echo "installing tfguard and $(TENSORFLOW) $(TENSORFLOW_RELEASE) (about 270 MB where pip has not cached it)"
	@$(PY) -m pip install $(PIP_FLAGS) -e ".[names]" "$(TENSORFLOW)==$(TENSORFLOW_RELEASE)"
	@touch $@

$(TEST_READY): $(DEMO_READY)
	@echo "installing the test tools"
	@$(PY) -m pip install $(PIP_FLAGS) -e ".[names,test]"
	@touch $@

$(BENCH_READY): $(TEST_READY)
	@echo "installing the peers to compare with"
	@$(PY) -m pip install $(PIP_FLAGS) -e ".[names,test,bench]"
	@touch $@

# $(call find_python,N): PYTHON or another one on the path, of 3.10 to 3.N; nothing where there is none
find_python = $(shell for python in "$(PYTHON)" python3.12 python3.11 python3.10; do \
  if "$$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $1))' 2>/dev/null; \
  then echo "$$python"; break; fi; done)

$(RELEASES:%=tensorflow-%): tensorflow-%:
	@python="$(call find_python,$(NEWEST_$*))"; \
	if [ -n "$$python" ]; then \
	  $(MAKE) --no-print-directory .venv-$*/.ready OLD_PYTHON="$$python"; \
	else \
	  echo "SKIPPED: tests with TensorFlow $*, it needs Python 3.10 to 3.$(NEWEST_$*) and there is none here"; \
	fi

.venv-gpu/.ready: $(INPUTS)
	@echo "setting up .venv-gpu (TensorFlow $(TENSORFLOW_RELEASE) and NVIDIA's packages, 4 GB)"
	@$(call make_venv,$(PYTHON),.venv-gpu)
	@.venv-gpu/bin/python -m pip install $(PIP_FLAGS) -e . "tensorflow[and-cuda]==$(TENSORFLOW_RELEASE)"
	@touch $@

.venv-%/.ready: $(INPUTS)
	@echo "setting up .venv-$* (TensorFlow $(FULL_$*))"
	@$(call make_venv,$(OLD_PYTHON),.venv-$*)
	@.venv-$*/bin/python -m pip install $(PIP_FLAGS) -e ".[names]" "$(TENSORFLOW)==$(FULL_$*)"
	@touch $@
