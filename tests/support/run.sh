#!/usr/bin/env bash
# Runs commands, one per argument, whose last lines are `N passed, M failed`, and adds these up.
set -euo pipefail

all_passed=0
all_failed=0
for command in "$@"; do
  status=0
  output=$(timeout 600 bash -c "$command" 2>&1) || status=$?
  last=$(tail -n 1 <<<"$output")
  if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
    passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
    output=$(sed '$d' <<<"$output")
  else
    passed=0 failed=1
  fi
  # Also if a program fails after its last line.
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  if [ -n "$output" ]; then echo "$output"; fi
  echo "  $command: $passed passed, $failed failed, status $status"
  all_passed=$((all_passed + passed))
  all_failed=$((all_failed + failed))
done
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" -eq 0 ]
