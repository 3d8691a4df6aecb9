# The two commands everyone needs are `make demo` and `make test`: each sets up what it needs by itself.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto

.PHONY: install demo test soak bench lint clean

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

install: $(VENV)/installed

demo: install
	$(BIN)/trackbridge demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

# Tests are spread over the processors; `make test WORKERS=0` uses one process. Fuzzing counts its cases, so it stays in one.
test: lint
	$(BIN)/pytest tests/fuzz -m "not soak"
	$(BIN)/pytest -m "not soak" -n $(WORKERS) --dist loadgroup --ignore=tests/fuzz

# atheris has wheels for Linux only; without it the coverage-guided runs are skipped and say so.
soak: install
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,soak]'
	$(BIN)/pytest -m soak
	$(BIN)/pytest tests/properties tests/model -m "not soak" --hypothesis-profile=drawn

bench: install
	$(BIN)/pytest --benchmark-only --benchmark-disable-gc -o addopts=

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
