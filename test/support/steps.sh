# Sourced: runs the steps of CI one after the other, goes on after a failure. What each step said stays in .vitest/results/, and
# summary.mjs sums it up.
results=.vitest/results

step() { # step NAME COMMAND...
  local name=$1 started=$SECONDS left=$((deadline - SECONDS)) status
  shift
  printf '\n=== %s\n' "$name"
  [ "$left" -gt 5 ] || left=5
  timeout --kill-after=10 "$left" "$@" </dev/null 2>&1 | tee "$results/$name.log"
  status=${PIPESTATUS[0]}
  printf '%s\t%s\t%s\n' "$name" "$status" $((SECONDS - started)) >>"$results/steps.tsv"
}
