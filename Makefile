# make demo             bill a small contract and print its invoices
# make serve            open the demo in the web client
# make lint             check the style of the code
# make test             run the tests
# make test-all         run the tests on both series and both databases
# make test-neighbours  run the scenarios of Tryton's modules beside this one
# make fuzz             try a thousand odd contracts and advances
# make test-demo        run the demo and serve it
# make test-web         do both jobs in the web client
# make screenshots      renew those of the manual
# make test-desktop     open every view in the desktop client
# make translations     renew those in locale/
# make bench            measure it beside plain Tryton
# make growth           draw in doc/ how it grows with the lines
# make nightly          run all the tests
# make clean            remove what they have made
#
# SERIES=8.2 make test does the same on that series of Tryton, and
# DATABASE=postgresql make test on PostgreSQL.  make bench takes both databases
# and make test-desktop takes 8.2 unless one is named.  PORT=8010 make serve
# listens there instead of on 8000.

SERIES ?= 8.0
DATABASE ?= sqlite
PORT ?= 8000
PYTHON ?= python3
TESTS ?= tests
EXTRAS ?= test

VENV := .venv/$(SERIES)
INSTALLED := $(VENV)/.installed
MODULES := $(VENV)/lib/python3.*/site-packages/trytond/modules
RUN_sqlite :=
RUN_postgresql := $(VENV)/bin/python tests/postgresql.py
BENCHED := $(if $(filter file,$(origin DATABASE)),sqlite postgresql,$(DATABASE))

SAO := .sao
SHOTS := $(basename $(notdir $(wildcard doc/screenshots/*.png)))
DESKTOP_SERIES := $(if $(filter file,$(origin SERIES)),8.2,$(SERIES))
DESKTOP := .venv/$(DESKTOP_SERIES)-desktop

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

demo: $(INSTALLED)
	@$(VENV)/bin/python demo/demo.py .demo

serve: $(INSTALLED) $(SAO)/.installed
	@$(VENV)/bin/python -W ignore demo/serve.py .demo $(PORT) $(SAO)/package

# The packages of the web client hold what it is built to
$(SAO)/.installed:
	@test $(SERIES) = 8.0 || { \
		echo "There is no package of the web client $(SERIES)" >&2; exit 1; }
	@command -v npm >/dev/null || { \
		echo "The web client needs Node.js, on Debian:" \
			"apt-get install npm" >&2; exit 1; }
	@echo "Installing the web client in $(SAO), this takes a minute"
	@mkdir -p $(SAO)
	@cd $(SAO) && npm pack --silent 'tryton-sao@~8.0' && \
		tar xzf tryton-sao-*.tgz && cd package && \
		npm install --silent --omit=dev --legacy-peer-deps
	@touch $@

lint: $(INSTALLED)
	@$(VENV)/bin/ruff check -q .
	@$(VENV)/bin/isort -q --check --diff .

test: $(INSTALLED)
	@$(RUN_$(DATABASE)) $(VENV)/bin/python -m pytest -q -n 2 $(OPTIONS) \
		$(addprefix $(MODULES)/project_progress_invoice/,$(TESTS))

test-all:
	@for series in 8.0 8.2; do for database in sqlite postgresql; do \
		echo "Tryton $$series on $$database"; \
		$(MAKE) --no-print-directory test \
			SERIES=$$series DATABASE=$$database || exit; \
	done; done

# Its own environment, for the modules beside change what the others test,
# and its own cache, for a cache holds the databases of one environment.
test-neighbours:
	@PYTEST_ADDOPTS='-o cache_dir=.pytest_cache/neighbours' \
		$(MAKE) --no-print-directory test \
		VENV=.venv/$(SERIES)-neighbours EXTRAS=test,neighbours \
		TESTS=qa/neighbours.py

test-demo:
	@$(MAKE) --no-print-directory test TESTS=qa/trial.py

# Its own environment, for only it drives a browser.  Only what is missing is
# installed, for the npm of Debian can not stand beside another Node.js.
test-web:
	@missing=; \
	test -x /usr/bin/chromium || missing=chromium; \
	command -v soffice >/dev/null || \
		missing="$$missing libreoffice-writer-nogui"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v pdftotext >/dev/null || missing="$$missing poppler-utils"; \
	test -z "$$missing" || .ci/install $$missing
	@$(MAKE) --no-print-directory -s $(SAO)/.installed
	@SAO=$(CURDIR)/$(SAO) $(MAKE) --no-print-directory test \
		VENV=.venv/$(SERIES)-web EXTRAS=test,web TESTS=qa/web.py

# The manual shows what the stories left
screenshots: test-web
	@cp $(SHOTS:%=.web/%.png) doc/screenshots

# The client has an environment of its own, for it runs on the GTK of the
# system and so on its Python
test-desktop: $(DESKTOP)/.installed
	@command -v Xvfb >/dev/null || .ci/install xvfb
	@DESKTOP=$(CURDIR)/$(DESKTOP) $(MAKE) --no-print-directory test \
		SERIES=$(DESKTOP_SERIES) TESTS=qa/desktop.py

$(DESKTOP)/.installed:
	@/usr/bin/python3 -c 'import ensurepip, gi; \
		gi.require_foreign("cairo"); gi.require_version("Gtk", "3.0"); \
		from gi.repository import GdkPixbuf, Gtk; \
		formats = [f.get_name() for f in GdkPixbuf.Pixbuf.get_formats()]; \
		assert "svg" in formats' 2>/dev/null || .ci/install \
		gir1.2-gtk-3.0 librsvg2-common python3-gi-cairo python3-venv
	@echo "Installing the desktop client in $(DESKTOP)"
	@/usr/bin/python3 -m venv --system-site-packages $(DESKTOP)
	@$(DESKTOP)/bin/python -m pip install -q --disable-pip-version-check \
		'tryton[calendar] == $(DESKTOP_SERIES).*'
	@touch $@

translations: $(INSTALLED)
	@$(VENV)/bin/python -W ignore qa/translations.py

fuzz:
	@$(MAKE) --no-print-directory test OPTIONS=--hypothesis-profile=fuzz \
		TESTS='tests/test_fuzz_contract.py tests/test_fuzz_advance.py'

bench: $(addprefix bench-,$(BENCHED))

bench-sqlite bench-postgresql: bench-%: $(INSTALLED)
	@$(RUN_$*) $(VENV)/bin/python -W ignore bench/bench.py $(OPTIONS) \
		.bench/$(SERIES)-$*.json

# Its own environment, for what draws is not needed elsewhere
growth:
	@$(MAKE) --no-print-directory draw-growth \
		VENV=.venv/$(SERIES)-bench EXTRAS=test,bench

draw-growth: $(INSTALLED)
	@$(RUN_$(DATABASE)) $(VENV)/bin/python -W ignore bench/bench.py --growth \
		$(OPTIONS) .bench/growth.json
	@$(VENV)/bin/python bench/chart.py .bench/growth.json doc/growth.svg

nightly: lint test-all test-neighbours test-demo test-web test-desktop fuzz
	@$(MAKE) --no-print-directory test-neighbours fuzz SERIES=8.2

clean:
	rm -rf .bench .demo .desktop .hypothesis .pytest_cache .ruff_cache .sao
	rm -rf .venv .web
	rm -rf build *.egg-info

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
		'trytond == $(SERIES).*' 'proteus == $(SERIES).*' -e '.[$(EXTRAS)]'
	@cd $(MODULES) && ln -sfn ../../../../../../.. project_progress_invoice
	@touch $@

.PHONY: help demo serve lint test test-all test-neighbours test-demo
.PHONY: test-web test-desktop screenshots translations fuzz nightly clean
.PHONY: bench bench-sqlite bench-postgresql growth draw-growth
