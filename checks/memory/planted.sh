#!/usr/bin/env bash
# Runs a command with a planted defect. It must fail and print a line like WORDS, a pattern of grep
# -E.
set -euo pipefail

words=${1:?usage: planted.sh WORDS COMMAND [ARGUMENT...]}
shift
status=0
output=$(timeout 500 "$@" 2>&1) || status=$?
line=$(grep -m 1 -E -- "$words" <<<"$output" || true)
if [ "$status" -eq 0 ] || [ -z "$line" ]; then
  echo "$output" | tail -n 40
  echo "planted.sh: status $status, and nothing like \"$words\" from: $*" >&2
  exit 1
fi
echo "  reported, as it must: ${line##*(  )}"
