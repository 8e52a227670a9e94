# Two commands to know: `make demo` shows the whole way of the data, `make test` runs every check.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGE_LINK := build/as_package/euromine
# The subpackages that are type-checked.
CHECKED := acquisition annotation app benchmark commands dataset_script experiments hub metrics modeling monitoring simulation support training watch train_seg train_cd

.PHONY: setup demo docs test lint types suite format clean

setup: $(STAMP)

# torch first and exactly: a looser request fetches gigabytes of CUDA packages. Python compiles each of the
# 22,000 files when it is first imported, and most of them never are; but where it may not keep what it compiled,
# as in many containers, every process would compile them again.
INSTALL := -m pip install --quiet $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python $(INSTALL) --constraint constraints.txt torch==2.13.0
	$(BIN)/python $(INSTALL) --constraint constraints.txt --editable '.[dev]'
	touch $@

$(PACKAGE_LINK):
	mkdir -p $(@D)
	ln -sfn ../.. $@

# The whole way of the data; `make demo ARCHIVE=folder-or-zip` does the same on an archive of your own.
ARCHIVE ?=
DEMO := runs/demo$(if $(ARCHIVE),-$(notdir $(patsubst %/,%,$(ARCHIVE))))

demo: setup
	$(BIN)/euromine demo $(DEMO) $(if $(ARCHIVE),--archive $(ARCHIVE))

# The site, in build/docs/html; every warning is an error.
docs: setup
	$(BIN)/sphinx-build -W --keep-going -n -d build/docs/doctrees docs build/docs/html

# The suite waits for servers and subprocesses now and then; the types are checked in the meantime.
test: lint
	$(MAKE) --no-print-directory --jobs 2 types suite

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m euromine.metrics.synchronise --check
	$(BIN)/lint-imports pyproject.toml --no-cache

types: setup $(PACKAGE_LINK)
	$(BIN)/mypy $(addprefix -p euromine.,$(CHECKED))

# One thread a process: the suite's arrays are small, and its processes share the cores.
# A process that dies ends the run: xdist hangs when it replaces one.
# The tests wait for servers and subprocesses now and then; with a process more than cores, as by `make suite
# WORKERS=3` on two, another may use that time.
WORKERS ?= auto
PYTEST_ARGUMENTS ?= --numprocesses $(WORKERS) --dist loadfile --max-worker-restart 0

suite: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGUMENTS)

# Wheel and source distribution, in dist/.
dist: setup
	$(BIN)/python -m build --outdir dist

# The suite on the oldest versions that pyproject.toml allows.
OLDEST := .venv-oldest/bin

oldest:
	test -x $(OLDEST)/python || $(PYTHON) -m venv .venv-oldest
	$(OLDEST)/python -m pip install --quiet --upgrade pip
	$(OLDEST)/python $(INSTALL) --constraint constraints-oldest.txt torch==2.13.0
	$(OLDEST)/python $(INSTALL) --constraint constraints-oldest.txt --editable '.[dev]'
	OMP_NUM_THREADS=1 $(OLDEST)/python -m pytest $(PYTEST_ARGUMENTS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-oldest build dist runs
