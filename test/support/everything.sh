#!/usr/bin/env bash
# Runs every step of `make test`, goes on after a failure, and ends with the sum.
set -u
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=test/support/steps.sh
. test/support/steps.sh
rm -rf "$results"
mkdir -p "$results"
# Whatever hangs is cut off, so that the sum is always reached.
deadline=$((SECONDS + 1500))

ring() { # ring NAME NPM-SCRIPT
  step "$1" npm run --silent "$2" -- --reporter=default --reporter=json --outputFile.json="$results/$1.json"
}

# Types first: the lint that knows types reads those of the workspace, which this builds.
step types npm run --silent types
step lint npm run --silent lint
ring unit test
ring lab test:lab
ring e2e test:e2e
exec node test/support/summary.mjs
