#!/usr/bin/env bash
# Runs an example, and compares its output with the `text` block of README.md. An ellipsis stands
# for anything on its line. The accounts of the first and the last line are the same.
#   run.sh COMMAND...
set -euo pipefail

page=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/README.md
shown=$(awk '/^```$/ { text = 0 } text; /^```text$/ { text = 1 }' "$page")
[ -n "$shown" ] || { echo "run.sh: $page shows nothing" >&2; exit 1; }
pattern=$(sed 's/[][\\.*^$+?(){}|]/\\&/g; s/…/([^\n]*)/g' <<< "$shown")

printed=$("$@")
if ! [[ $printed =~ ^$pattern$ ]] || [ "${BASH_REMATCH[1]}" != "${BASH_REMATCH[3]}" ]; then
  echo "run.sh: $* prints:" >&2
  echo "$printed" >&2
  exit 1
fi
echo "$*: as $(basename "$(dirname "$page")")/README.md shows"
