#!/usr/bin/env bash
# longer.sh SECONDS: the steps of CI that `make test` has no time for, beside those that it left behind. The longest one takes what is
# left of SECONDS, at least one minute and no more than five.
set -u
cd "$(dirname "$0")/../.." || exit 1
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=test/support/steps.sh
. test/support/steps.sh
mkdir -p "$results"
deadline=$((SECONDS + 600))
budget=$1

step docs npm run --silent docs --workspace nftables
# Another seed every hour; one that failed is played again by `npm run differential -- --seed SEED`.
seed=$(date -u +%y%m%d%H)
slice=$((budget - SECONDS - 20))
[ "$slice" -le 300 ] || slice=300
[ "$slice" -ge 60 ] || slice=60
printf '\nSeed %s, for %s seconds.\n' "$seed" "$slice"
step differential npm run --silent differential -- --decisions 100000000 --seconds "$slice" --seed "$seed"
