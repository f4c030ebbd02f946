# `make` prints what there is. Needs Node >= 20.19 with npm; nothing is installed outside this folder but by `make deps`.
.DEFAULT_GOAL := help
.PHONY: help run test demo bench deps build clean
installed := node_modules/.package-lock.json

help:
	@echo 'make run     build, and check this very node for every provider   (ARGS="--peer 10.0.0.12 …" adds to it)'
	@echo 'make test    what CI runs, but for two long steps of it; installs what the tests need when that is missing'
	@echo 'make demo    three agents in network namespaces on this machine, a fault, and what they say of it'
	@echo 'make bench   the measurements   (NAME=probes, footprint or overhead for one)'
	@echo 'make deps    only install what tests and measurements need'
	@echo 'make clean   remove what was built, node_modules too'

# The answer of the check is an answer, not a failure of make: only a crash (1) or a wrong call (2) is.
run: build
	@node dist/agent/main.js check --provider all $(ARGS); code=$$?; \
	case $$code in \
	  0) ;; \
	  3) printf '\nExit code 3: a required finding failed, so no provider can run here as it is.\n' ;; \
	  4) printf '\nExit code 4: nothing required failed, but something required could not be determined.\n' ;; \
	  *) exit $$code ;; \
	esac

test: deps $(installed)
	@test/support/everything.sh

demo: deps build
	@npx tsc -p test/support
	@test/support/in-namespace.sh node dist/test/support/demo.js

bench: deps build
	@for name in $(or $(NAME),probes footprint overhead); do npm run --silent bench -- $$name || exit 1; done

deps:
	@test/support/deps.sh

build: $(installed)
	@npm run --silent build

$(installed): package.json package-lock.json nftables/package.json typedoc/package.json
	npm ci --no-audit --no-fund
	@touch $@

clean:
	rm -rf node_modules typedoc/node_modules dist nftables/dist nftables/docs/api .vitest coverage
