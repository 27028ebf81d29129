#!/usr/bin/env bash
# Runs the built unit tests and fuzz replays of build/, each through the command given (an
# emulator), with the data they look for, and counts as check.sh does.
#
#   test/lib/run-programs.sh qemu-aarch64 -L /usr/aarch64-linux-gnu

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
passed=0
failed=0

run_one() {
    local name=$1 log=build/programs.log good bad status=0
    shift
    timeout 900 "$@" >"$log" 2>&1 || status=$?
    good=$(grep -cE '^ok [0-9]+' "$log")
    bad=$(grep -cE '^not ok [0-9]+' "$log")
    if [ "$bad" -eq 0 ] && [ "$status" -ne 0 ]; then bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        echo "ok      $name ($good)"
    else
        echo "FAILED  $name ($good passed, $bad failed)"
        tail -n 20 "$log" | sed 's/^/        /'
    fi
}

for source in test/unit/*.c; do
    name=$(basename "$source" .c)
    run_one "unit/$name" "$@" "build/unit/$name"
done
for source in test/fuzz/*.c; do
    name=$(basename "$source" .c)
    run_one "fuzz-replay/$name" "$@" "build/fuzz/$name" "test/fuzz/corpus/$name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
