# What is done with layer from a clone. `make demo` and `make test` set up all that they need by themselves.
SHELL := /bin/bash
PYTHON := .venv/bin/python
WORKERS ?= $(shell nproc)

.PHONY: setup demo test faults boot-test lint docs bench package clean lock

setup: .venv/ready

# The distribution's bindings belong to its own Python, so the venv is made from that one.
.venv/ready: pyproject.toml requirements.lock packaging/system-packages
	packaging/system-packages
	/usr/bin/python3 -m venv --system-site-packages .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(PYTHON) -m compileall -q journal projections layering cli  # as installed; the environment may keep Python from it
	.venv/bin/layer --version
	touch $@

demo: setup
	demo/run

test: setup
	$(PYTHON) -m pytest -n $(WORKERS) $(ARGS)

# SIGKILL, Ctrl-C and a failing disk at every moment of a transaction, instead of the few that `make test` tries.
faults: setup
	LAYER_FAULTS=all $(PYTHON) -m pytest --timeout=0 -n $(WORKERS) tests/acceptance/test_crash.py tests/acceptance/test_interrupted.py

# A host that boots, in QEMU without KVM; what the image is made of is kept in build/boot.
boot-test: setup
	packaging/system-packages boot
	$(PYTHON) -m pytest --timeout=0 tests/boot $(ARGS)  # each step has its own limit there

lint: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON) -m docs.catalogue --check

# What is written from the code: the event catalogue, the JSON Schemas and the manual page.
docs: setup
	$(PYTHON) -m docs.catalogue

bench: setup
	$(PYTHON) -m bench

# The RPM and the source RPM, in dist/.
package: setup
	packaging/package

# Renew the locked versions; no host of an index is named in the result.
lock: setup
	$(PYTHON) -m pip install --quiet pip-tools
	$(PYTHON) -m piptools compile --quiet --upgrade --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
	    --no-header --extra dev --extra serve --unsafe-package rpm --output-file requirements.lock pyproject.toml

clean:
	OSTREE_SYSROOT_DEBUG=mutable-deployments chattr -R -i build 2>/dev/null; rm -rf build dist .venv
