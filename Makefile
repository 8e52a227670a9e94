# Two commands to know: `make demo` shows the whole way of the data, `make test` runs every check.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGE_LINK := build/as_package/euromine
# The subpackages that are type-checked.
CHECKED := benchmark commands dataset_script metrics modeling training train_seg train_cd

.PHONY: setup demo test lint types suite format clean

setup: $(STAMP)

# torch first and exactly: a looser request fetches gigabytes of CUDA packages.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(PACKAGE_LINK):
	mkdir -p $(@D)
	ln -sfn ../.. $@

test: lint types suite

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup $(PACKAGE_LINK)
	$(BIN)/mypy $(addprefix -p euromine.,$(CHECKED))

suite: setup
	$(BIN)/python -m pytest $(PYTEST_ARGUMENTS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build runs
