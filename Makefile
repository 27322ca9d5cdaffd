# make demo   bill a small contract and print its invoices
# make test   run the tests
# make clean  remove what the two have made
#
# SERIES=8.2 make test does the same on that series of Tryton.

SERIES ?= 8.0
PYTHON ?= python3
TESTS ?= tests

VENV := .venv/$(SERIES)
INSTALLED := $(VENV)/.installed
MODULES := $(VENV)/lib/python3.*/site-packages/trytond/modules

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

demo: $(INSTALLED)
	@$(VENV)/bin/python demo/demo.py .demo

test: $(INSTALLED)
	@$(VENV)/bin/python -m pytest -q -n 2 \
		$(MODULES)/project_progress_invoice/$(TESTS)

clean:
	rm -rf .demo .pytest_cache .venv build *.egg-info

# One bound on trytond is enough for all its modules, for each accepts but its
# own series.  The link gives the tests of this folder their full name.
$(INSTALLED): setup.py tryton.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Python 3.10 or newer is needed, for example:" \
			"make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing Tryton $(SERIES) in $(VENV), this takes a minute"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "The venv of Python is missing, on Debian:" \
			"apt-get install python3-venv" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check \
		'trytond == $(SERIES).*' 'proteus == $(SERIES).*' -e '.[test]'
	@cd $(MODULES) && ln -sfn ../../../../../../.. project_progress_invoice
	@touch $@

.PHONY: help demo test clean
