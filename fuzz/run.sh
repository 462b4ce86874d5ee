#!/usr/bin/env bash
# Runs fuzz targets, as many at a time as there are processors. Their findings go to WORK.
set -euo pipefail

usage="usage: run.sh BINARIES WORK fuzz|replay|corpus SECONDS TARGET..."
binaries=${1:?$usage} work=${2:?$usage} how=${3:?$usage} seconds=${4:?$usage}
shift 4
here=$(dirname "$0")

# Shortens libFuzzer's output to its progress.
progress() { sed -unE "s/^(#[0-9]+)\t(INITED|pulse|DONE) +/$1: \1 /p; s/^functions reached/$1: &/p"; }

one() {
  local target=$1 log=$work/$1.log
  local seeds=$here/corpus/$target found=$work/corpus/$target
  mkdir -p "$found" "$seeds" "$work/found"
  local arguments=(-artifact_prefix="$work/found/$target-" -print_final_stats=1 -timeout=60
    -rss_limit_mb=2048 -max_len=4096 -len_control=20)
  if [ -e "$here/$target.dict" ]; then arguments+=(-dict="$here/$target.dict"); fi
  case $how in
    fuzz) arguments+=(-max_total_time="$seconds" "$found" "$seeds") ;;
    replay) arguments+=(-runs=0 "$seeds") ;;
    corpus)
      rm -rf "$work/least"/"$target"
      mkdir -p "$work/least"/"$target"
      # Covers edges, ignoring how often each is taken: a tenth of the files.
      arguments+=(-set_cover_merge=1 -use_counters=0 "$work/least/$target" "$seeds" "$found")
      ;;
    *)
      echo "$usage" >&2
      return 2
      ;;
  esac
  if ! TOKENPIN_FUZZ_REACH=$([ "$how" != replay ] || echo 1) "$binaries/$target" "${arguments[@]}" 2>&1 |
    tee "$log" | progress "$target"; then
    grep -vE '^(#[0-9]|stat::|")' "$log" | tail -n 60 >&2
    echo "$target: failed; the input is in $work/found, all output in $log" >&2
    return 1
  fi
  if [ "$how" = corpus ]; then
    rm -rf "$seeds"
    mv "$work/least/$target" "$seeds"
  fi
}

failed=0
processors=$(nproc)
for target in "$@"; do
  if [ "$(jobs -rp | wc -l)" -ge "$processors" ]; then wait -n || failed=1; fi
  one "$target" &
done
for job in $(jobs -p); do wait "$job" || failed=1; done
exit "$failed"
