# Two commands set everything up: `make demo` and `make test`. Settings: PYTHON (the interpreter to build .venv with).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
# A file is the work of one process, and those that tests/conftest.py puts first begin
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-fast test-large test-random check docs graphs bench mutants lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true  # on all cores; a few files are for other Pythons
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $(READY)

demo: $(READY)  ## denoise a real noisy recording and draw it before and after
	$(BIN)/enhance denoise tests/audio_files/noisy_speech_48k.flac -o demo/ --existing overwrite --plot --verbose
	@echo "Listen to demo/noisy_speech_48k.flac, look at demo/noisy_speech_48k.flac.png"

test: $(READY)  ## run the tests, on two cores
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(READY)  ## run all but the slow tests and those that start servers, on two cores
	$(BIN)/python -m pytest -m "not slow and not cluster and not gpu and not large" $(PARALLEL)

test-large: $(READY)  ## run what `test` leaves out: large published networks, a file takes minutes
	$(BIN)/python -m pytest -m large

test-random: $(READY)  ## run the same in random order (the seed is shown: SEED=... repeats it)
	$(BIN)/python -m pytest -m "not slow and not cluster and not gpu and not large" --random-order $(if $(SEED),--random-order-seed=$(SEED))

check: $(READY)  ## lint, formatting, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers $(WORKERS)
	$(BIN)/codespell

docs: $(READY)  ## write docs/cli.md and the manual page from the help texts, docs/formats.md from files
	$(BIN)/python tools/cli_docs.py
	$(BIN)/python tools/formats_docs.py

graphs: $(READY)  ## write the graphs of the shipped networks anew, after their code or their sizes have changed
	$(BIN)/python tools/onnx_graphs.py

bench: $(READY)  ## speed, memory and quality against other denoisers (PAIRS="folders with noisy/ and clean/")
	$(BIN)/python tests/benchmarks/denoise_peers.py $(PAIRS)

mutants: $(READY)  ## put faults into the mathematics and see that tests notice (hours; then `mutmut results`; tests/mutants.md)
	$(BIN)/python -m pip install --quiet mutmut
	$(BIN)/mutmut run

lock: $(READY)  ## write requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -o requirements.lock

clean:  ## remove what the targets made
	rm -rf $(VENV) .bench-venv demo mutants .pytest_cache .ruff_cache .mypy_cache
