# shellcheck shell=bash
# Counts what scripts expect. Sourced; $work is a folder of the script's own.

passed=0
failed=0

# expect yes|no WHAT COMMAND...: whether the command succeeds.
expect() {
  local wanted=$1 what=$2 got=no
  shift 2
  if "$@" >"${work:?}/output" 2>&1; then got=yes; fi
  if [ "$got" = "$wanted" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "${0##*/}: failed: $what"
    sed 's/^/    /' "$work/output"
  fi
}

# The script's last line and status.
sum_up() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
