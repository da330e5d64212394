#!/usr/bin/env bash
# Fuzzes every target, or those that are named: `tests/fuzz/run.sh SECONDS [TARGET...]`. Goes on behind a finding, whose
# input then lies below tests/fuzz/artifacts, and fails at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=$1
shift
# No sanitizer: our own code has nothing unsafe, and one would make every bound of time and memory another.
options=(--fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none)
fuzz() { cargo "+${FUZZ_TOOLCHAIN:-nightly}" fuzz "$@"; }

if [ $# -eq 0 ]; then
  # shellcheck disable=SC2046
  set -- $(ls tests/fuzz/seeds)
  fuzz build "${options[@]}"
fi

failed=()
for target in "$@"; do
  mkdir -p "tests/fuzz/corpus/$target"
  # The time and memory of a function, with a margin for the fuzzer's own counting.
  fuzz run "${options[@]}" "$target" "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- \
    "-max_total_time=$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 ||
    failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "findings: ${failed[*]}" >&2
  exit 1
fi
