#!/usr/bin/env bash
# Runs every step of CI, goes on after a failure, and ends with the sum. What each step said stays in .vitest/results/.
set -u
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin
results=.vitest/results
rm -rf "$results"
mkdir -p "$results"
# Whatever hangs is cut off, so that the sum is always reached.
deadline=$((SECONDS + 1500))

step() { # step NAME COMMAND...
  local name=$1 started=$SECONDS left=$((deadline - SECONDS)) status
  shift
  printf '\n=== %s\n' "$name"
  [ "$left" -gt 5 ] || left=5
  timeout --kill-after=10 "$left" "$@" </dev/null 2>&1 | tee "$results/$name.log"
  status=${PIPESTATUS[0]}
  printf '%s\t%s\t%s\n' "$name" "$status" $((SECONDS - started)) >>"$results/steps.tsv"
}
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
