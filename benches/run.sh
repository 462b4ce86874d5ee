#!/usr/bin/env bash
# Runs all benchmarks ROUNDS times. Criterion's results stay in BUILD/criterion, its output in
# BUILD/run.log.
set -euo pipefail

build=${1:?usage: run.sh BUILD ROUNDS SECONDS}
rounds=${2:?usage: run.sh BUILD ROUNDS SECONDS}
seconds=${3:?usage: run.sh BUILD ROUNDS SECONDS}

rm -rf "$build/criterion"
export CRITERION_HOME="$build/criterion"
: > "$build/run.log"
for round in $(seq "$rounds"); do
  "$build/target/release/speed" --bench --noplot --quiet --save-baseline "round$round" \
    --warm-up-time 0.05 --measurement-time "$seconds" --sample-size 20 --nresamples 1000 2>&1 |
    tee -a "$build/run.log" |
    awk -v round="round $round of $rounds" '
      /time:/ && ++done % 50 == 0 { print round ": " done " benchmarks done"; fflush() }'
done
