# The two commands of a newcomer: make demo, make test. Needs python3 (3.11 to 3.13) and make, nothing else.
PYTHON ?= python3
EXTRA ?= cpu
BIN := .venv/bin

.PHONY: demo test test-pure test-ray test-jobs test-cluster test-quick check soak install clean
.DEFAULT_GOAL := demo

demo: install
	@$(BIN)/python jobs/demo.py --out runs/demo

# Two at a time: what computes by itself, and two parts of what has a Ray of its own and waits for it most of the time.
test: install
	@$(MAKE) --no-print-directory -k -j2 --output-sync=target test-ray test-pure test-jobs

test-pure: install
	@$(BIN)/python -m pytest --durations=15 tests/unit tests/download tests/fuzz tests/keras

test-ray: install
	@$(BIN)/python -m pytest --durations=15 -m "not cluster" tests/ray --ignore tests/ray/tuning

test-jobs: install
	@$(BIN)/python -m pytest --durations=15 -m "not cluster" tests/ray/tuning tests/jobs

# The rest: machines that come and go, a job server, killed drivers, trainings by Ray Train.
test-cluster: install
	@$(BIN)/python -m pytest --durations=15 -m cluster tests/ray tests/jobs

# What needs no Ray, without the slow ones: under a minute on two idle cores.
test-quick: install
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" tests/unit

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Minutes on all cores: 5,000 damaged files of each container, 200 of them through the whole job (make test: 50, 50).
soak: install
	@$(BIN)/python tests/fuzz/soak.py --each 5000 --job-each 200 --first-seed 50 --keep runs/soak

install: .venv/.installed

# pip compiles the packages as it installs them: without that each worker would spend 19 s on importing TensorFlow.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "emocore needs Python 3.11, 3.12 or 3.13: name one with make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv or ensurepip: install them (on Debian and Ubuntu: apt install python3-venv)"; exit 2; }
	@echo "Installing the pinned packages into .venv (about 2 GB, a few minutes, once)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRA),annotations,encoder,dev]'
	@$(BIN)/python -c 'from emocore.features.article import compile_features; compile_features()'
	@touch $@

clean:
	rm -rf .venv runs
