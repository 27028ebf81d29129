#!/usr/bin/env bash
# Everything that is tested, from a bare machine on, as root or as an ordinary user.
#
#   test/check.sh [PART...]      parts: unit fuzz-replay regress isolation tap; all by default
#   TESTS="name ..."             only these tests of the parts
#   TEST_SECONDS=900             after which a single test is ended, and has failed
#   SPARSE_KEEP=1                leave the working directory, and say where it is
#
#   unit         test/unit/*.c          each a program over the codec, under ASan and UBSan
#   fuzz-replay  test/fuzz/*.c          each over test/fuzz/corpus/<name>/, likewise
#   regress      sql/*.sql              each in a fresh database; expected/<name>.out
#   isolation    test/specs/*.spec      each in a fresh database; test/expected/<name>.out
#   tap          test/t/*.pl            each with servers of its own
#
# Tests run in a temporary directory, on a private copy of the server (see
# lib/private-server.sh). They find the data files
#   C, shell     in test/data/, seen from the working directory
#   SQL          in current_setting('sparse_test.data'), as a directory the server can read
#   TAP          in $ENV{SPARSE_TEST_DATA}
# Results, logs and differences are left in build/check/.
#
# The last line is "N passed, N failed"; the exit code is 0 only if none failed.
# Counted are TAP assertions, fuzz targets, regression tests and isolation specs.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

tree=(src sql expected test docs debian docker sparse.control META.json CHANGELOG.md README.md)
all_parts=(unit fuzz-replay regress isolation tap)
parts=("${@:-${all_parts[@]}}")
test_seconds=${TEST_SECONDS:-900}
passed=0
failed=0
work=

wanted_part() { [[ " ${parts[*]} " == *" $1 "* ]]; }
wanted_test() { [ -z "${TESTS:-}" ] || [[ " $TESTS " == *" $1 "* ]]; }

# The last thing printed, however the run ends.
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# A step without which nothing can be tested.
must() {
    local what=$1
    shift
    "$@" && return 0
    echo "FAILED $what"
    failed=$((failed + 1))
    finish
}

clean_up() {
    [ -n "$work" ] || return 0
    stop_all_under "$work"
    if [ -n "${SPARSE_KEEP:-}" ]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Names of the tests of a part: the files DIRECTORY/*.EXTENSION, without either.
tests_of() {
    local directory=$1 extension=$2 file name
    for file in "$directory"/*."$extension"; do
        name=$(basename "$file" ".$extension")
        [ -e "$file" ] && wanted_test "$name" && echo "$name"
    done
}

# Count the TAP in LOG, written by a program that ended with STATUS, and show the
# log if anything in it failed. A program that dies, or does not keep its plan,
# counts as one failure beside what it had printed.
count_tap() {
    local name=$1 log=$2 status=$3 good bad planned
    good=$(grep -E '^ok [0-9]+' "$log" | grep -viEc '# *skip')
    bad=$(grep -E '^not ok [0-9]+' "$log" | grep -viEc '# *todo')
    planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | head -n 1)
    if [ "$bad" -eq 0 ] && [ "$status" -ne 0 ]; then
        echo "# ended with exit code $status" >>"$log"
        bad=1
    elif [ -n "$planned" ] && [ "$(grep -Ec '^(not )?ok [0-9]+' "$log")" -ne "$planned" ]; then
        echo "# planned $planned tests" >>"$log"
        bad=$((bad + 1))
    fi
    count "$name" "$good" "$bad" "$log"
    grep -iE '^ok [0-9]+.*# *skip' "$log"
}

count() {
    local name=$1 good=$2 bad=$3 log=$4
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        echo "ok      $name ($good)"
    else
        echo "FAILED  $name ($good passed, $bad failed)"
        sed 's/^/        /' "$log"
    fi
}

# Run a program that prints TAP as the unprivileged user.
run_tap() {
    local name=$1 log=$work/out/${1//\//-}.log status=0
    shift
    as_user timeout --foreground "$test_seconds" "$@" >"$log" 2>&1 || status=$?
    count_tap "$name" "$log" "$status"
}

# Go to a tree of what the tests need: as root copies, for the clone may be unreadable.
enter_tree() {
    local entry present=()
    mkdir -p "$work/tree" "$work/out"
    for entry in "${tree[@]}"; do
        if [ -e "$entry" ]; then present+=("$entry"); fi
    done
    if [ "$(id -u)" -eq 0 ]; then
        cp -rL "${present[@]}" "$work/tree"
    else
        ln -s "${present[@]/#/$top/}" "$work/tree"
    fi
    mkdir -p "$work/programs"
    cp -r build/unit build/fuzz "$work/programs" 2>/dev/null
    cd "$work/tree" || exit
}

run_unit() {
    local name
    for name in $(tests_of test/unit c); do
        run_tap "unit/$name" "$work/programs/unit/$name"
    done
}

run_fuzz_replay() {
    local name corpus
    for name in $(tests_of test/fuzz c); do
        corpus=test/fuzz/corpus/$name
        run_tap "fuzz-replay/$name" "$work/programs/fuzz/$name" $([ -d "$corpus" ] && echo "$corpus")
    done
}

start_server() {
    init_cluster "$work/data" "$work/s" <<-END || return 1
	fsync = off
	max_connections = 40
	log_line_prefix = '%m [%p] %d '
	sparse_test.data = '$work/tree/test/data'
	END
    start_cluster "$work/data"
}

# One test of pg_regress or one of its kin, in a database of its own.
regress_one() {
    local part=$1 driver=$2 input=$3 name=$4 out=$work/out/$1/$4
    as_user mkdir -p "$out"
    if as_user env PATH="$bindir:$PATH" timeout --foreground "$test_seconds" "$driver" --bindir="$bindir" --inputdir="$input" \
        --outputdir="$out" --host="$work/s" --port="$server_port" --user=postgres \
        --dbname="${part}_$name" "$name" >"$out/run.log" 2>&1; then
        count "$part/$name" 1 0 "$out/run.log"
    else
        [ -s "$out/regression.diffs" ] && cp "$out/regression.diffs" "$out/run.log"
        count "$part/$name" 0 1 "$out/run.log"
    fi
}

run_regress() {
    local name
    for name in $(tests_of sql sql); do
        regress_one regress "$pgxs_test/regress/pg_regress" "$work/tree" "$name"
    done
}

run_isolation() {
    local name
    for name in $(tests_of test/specs spec); do
        regress_one isolation "$pgxs_test/isolation/pg_isolation_regress" "$work/tree/test" "$name"
    done
}

run_tap_tests() {
    local name failed_before
    for name in $(tests_of test/t pl); do
        failed_before=$failed
        run_tap "tap/$name" env PATH="$bindir:$PATH" PG_CONFIG="$PG_CONFIG" TESTDIR="$work/tap" \
            TESTDATADIR="$work/tap/tmp_check" TESTLOGDIR="$work/tap/tmp_check/log" \
            PERL5LIB="$pgxs_test/perl:$work/tree/test/lib" \
            PG_REGRESS="$pgxs_test/regress/pg_regress" \
            SPARSE_TEST_DATA="$work/tree/test/data" \
            prove --verbose "test/t/$name.pl"
        # What the servers and psql said is in a log of its own.
        if [ "$failed" -gt "$failed_before" ]; then
            tail -n 30 "$work/tap/tmp_check/log/regress_log_$name" | sed 's/^/        | /'
        fi
    done
}

# Where a developer finds results/*.out to compare and to accept.
keep_results() {
    local kept=$top/build/check
    rm -rf "$kept"
    mkdir -p "$kept"
    cp -r "$work/out/." "$kept"
    cp "$work/data.log" "$kept/server.log" 2>/dev/null
    find "$work/tap" -name '*.log' -exec cp -t "$kept" {} + 2>/dev/null
    return 0
}

main() {
    local part needs_server=
    for part in "${parts[@]}"; do
        [[ " ${all_parts[*]} " == *" $part "* ]] || { echo "no such part: $part" >&2; exit 2; }
    done
    wanted_part regress || wanted_part isolation || wanted_part tap && needs_server=1

    bash test/install-packages.sh || exit
    choose_user || exit
    work=$(mktemp -d "${TMPDIR:-/tmp}/sparse.XXXXXX") || exit
    chmod 755 "$work"
    run_home=$work/home

    if wanted_part unit || wanted_part fuzz-replay; then
        must "the build of the C tests, and of the client without a server" \
            make -C "$top" -s -j2 test-programs client-compiles PG_CONFIG="$PG_CONFIG"
    fi
    enter_tree
    [ "$(id -u)" -ne 0 ] || chown "$run_user" "$work" "$work/out"
    as_user mkdir -p "$run_home" "$work/tap"

    if wanted_part unit; then run_unit; fi
    if wanted_part fuzz-replay; then run_fuzz_replay; fi
    if [ -n "$needs_server" ]; then
        must "the build" make -C "$top" -s -j2 all PG_CONFIG="$PG_CONFIG"
        must "the private installation" install_private "$top" "$work/prefix"
        # tests of upgrades put the SQL of earlier versions there
        [ "$(id -u)" -ne 0 ] || chown "$run_user" "$work/prefix$("$PG_CONFIG" --sharedir)/extension"
    fi
    if wanted_part regress || wanted_part isolation; then
        must "the start of the server" start_server
        if wanted_part regress; then run_regress; fi
        if wanted_part isolation; then run_isolation; fi
        stop_cluster "$work/data"
    fi
    if wanted_part tap; then run_tap_tests; fi
    keep_results
    finish
}

main
