#!/usr/bin/env bash
# The README's two commands, by a fresh user on a fresh machine, for each PostgreSQL that
# is supported: a bare chroot of the release that has it (lib/chroot.sh), into which
# `make quickstart` installs what it needs, and then `make check`.
#
#   test/matrix.sh JOB...          as root; all jobs by default
#
#   15 16 17 18 19     that PostgreSQL, from bookworm, noble, trixie, sid, experimental
#   no-openssl         18 built without OpenSSL (PostgreSQL's own default) from sid's source
#   aarch64            the core and the client cross-built, the unit tests under qemu-user
#
#   PARTS="regress tap"     only these parts of make check
#   TESTS="name ..."        only these tests
#   TEST_SECONDS=900        how long one test may take
#   SPARSE_CCACHE=1         compile through a cache that later runs find again
#
# One line a job, and the sum as the last: "N passed, N failed". What a job said is in
# build/matrix/JOB.log. A job whose chroot or packages cannot be had, because a mirror does not
# answer, say, is "skipped: reason", and not a failure.

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source test/lib/chroot.sh

logs=$PWD/build/matrix
passed=0
failed=0

suite_of() {
    case $1 in
        15) echo bookworm ;;
        16) echo noble ;;
        17 | aarch64) echo trixie ;;
        18 | no-openssl) echo sid ;;
        19) echo experimental ;;
        *) return 1 ;;
    esac
}

# The tree in the home of a user who may use sudo.
fresh_user() {
    apt_in "$copy" update && apt_in "$copy" install sudo make ${SPARSE_CCACHE:+ccache gcc} || return
    in_chroot "$copy" useradd --create-home --shell /bin/bash visitor || return
    echo 'visitor ALL=(ALL) NOPASSWD: ALL' >"$copy/etc/sudoers.d/visitor"
    mkdir "$copy/home/visitor/sparse"
    copy_tree "$copy/home/visitor/sparse"
    in_chroot "$copy" chown -R visitor: /home/visitor
}

# As that user, in that tree. (noble's gcc 13.2 aligns no locals to 64 bytes under ASan's detection of uses after return,
# on at run time by default in that release alone: GCC's bug 110027. xxHash needs that for AVX-512.)
as_visitor() {
    in_chroot "$copy" setpriv --reuid=visitor --regid=visitor --init-groups \
        env HOME=/home/visitor USER=visitor ${asan:+ASAN_OPTIONS=$asan} TESTS="${TESTS:-}" TEST_SECONDS="${TEST_SECONDS:-}" bash -c "cd ~/sparse && $1"
}

check_command() {
    if [ -n "${PARTS:-}" ]; then echo "bash test/check.sh $PARTS"; else echo "make check"; fi
}

# A server that is not what the release calls "postgresql" is installed by its name, as its user would.
named_server() {
    case $job in
        [0-9]*) in_chroot "$copy" apt-cache depends postgresql | grep -q "Depends: postgresql-$job$" ||
            apt_in "$copy" install "postgresql-$job" "postgresql-client-$job" "postgresql-server-dev-$job" libpq-dev ;;
    esac
}

# What `make quickstart` does first; where no server is built for, run_aarch64 knows what it needs.
needed_packages() { [ "$job" = aarch64 ] || as_visitor 'bash test/install-packages.sh'; }

run_version() {
    as_visitor "make quickstart && $(say_tools pg_config gcc) && pg_config --version | grep '^PostgreSQL $job[^0-9]' && $(check_command)"
}

# The commands that print what is used.
say_tools() { echo "{ $1 --version | sed 's/^/server: /'; $2 --version | head -n 1 | sed 's/^/compiler: /'; }"; }

# The server of Debian's source package, configured as PostgreSQL is by default.
run_no_openssl() {
    sed -i 's/^\(Types: deb\|deb \)/&/; p; s/^deb /deb-src /; s/^Types: deb$/Types: deb deb-src/' "$copy/etc/apt/sources.list" &&
        apt_in "$copy" update &&
        apt_in "$copy" install dpkg-dev bison flex bzip2 &&
        as_visitor 'bash test/install-packages.sh' &&
        as_visitor 'cd ~ && apt-get -q source --download-only postgresql-18 && mkdir pg && tar -xf postgresql-18_*.orig.tar.* -C pg --strip-components=1 &&
            cd pg && ./configure --quiet --prefix="$HOME/server" --without-readline --without-icu --without-zlib --enable-tap-tests CFLAGS=-O1 &&
            make -s -j2 && make -s install && make -s -C contrib/pageinspect install' &&
        as_visitor "! grep '^#define USE_OPENSSL' ~/pg/src/include/pg_config.h && export PG_CONFIG=\$HOME/server/bin/pg_config &&
            $(say_tools '$PG_CONFIG' gcc) && $(check_command)"
}

run_aarch64() {
    in_chroot "$copy" dpkg --add-architecture arm64 &&
        apt_in "$copy" update &&
        apt_in "$copy" install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libpq-dev:arm64 libssl-dev:arm64 \
            libzstd-dev:arm64 libxxhash-dev:arm64 libyajl-dev:arm64 libyaml-dev:arm64 libmicrohttpd-dev:arm64 &&
        as_visitor 'aarch64-linux-gnu-gcc --version | head -n 1 | sed "s/^/compiler: /"
            make -s -j2 client CC=aarch64-linux-gnu-gcc && make -s -j2 test-programs TEST_CC=aarch64-linux-gnu-gcc SANITIZE= &&
            bash test/lib/run-programs.sh qemu-aarch64 -L /usr/aarch64-linux-gnu'
}

# "passed of all" of a part in a log of check.sh.
counted() {
    awk -v part="$1" '
        $1 == "ok" && $2 ~ "^" part "/" { gsub(/[()]/, "", $3); good += $3 }
        $1 == "FAILED" && $2 ~ "^" part "/" { gsub(/[()]/, "", $3); good += $3; bad += $5 }
        END { if (good + bad) printf "%d/%d", good, good + bad; else printf "-" }' "$2"
}

report() {
    local job=$1 log=$2 minutes=$3 sum
    sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [ -z "$sum" ]; then
        sum="0 passed, 1 failed"
        tail -n 15 "$log" | sed 's/^/    | /'
    fi
    passed=$((passed + ${sum%% *}))
    failed=$((failed + $(echo "$sum" | sed 's/.*, \([0-9]*\) failed/\1/')))
    grep '^FAILED' "$log" | sed 's/^/    | /'
    printf '%-10s %-12s %-34s warnings %d  unit %s  fuzz %s  regress %s  isolation %s  tap %s  %d min\n' "$job" "$(suite_of "$job")" \
        "$(sed -n 's/^compiler: //p' "$log" | tail -n 1)" "$(grep -c 'warning:' "$log")" \
        "$(counted unit "$log")" "$(counted fuzz-replay "$log")" "$(counted regress "$log")" \
        "$(counted isolation "$log")" "$(counted tap "$log")" "$minutes"
}

run_job() {
    local job=$1 suite log=$logs/$1.log begun=$SECONDS why command
    suite=$(suite_of "$job") || { echo "no such job: $job" >&2; exit 2; }
    if ! why=$(can_be_had "$suite"); then
        echo "$job skipped: $why"
        return
    fi
    local asan=
    [ "$suite" != noble ] || asan=detect_stack_use_after_return=0
    case $job in
        [0-9]*) command=run_version ;;
        *) command=run_${job//-/_} ;;
    esac
    if ! copy_chroot "$suite" "$job" 2>"$log"; then
        echo "$job skipped: $(tail -n 1 "$log")"
        return
    fi
    if ! { fresh_user && named_server && needed_packages; } >"$log" 2>&1; then
        echo "$job skipped: packages could not be installed: $(tail -n 1 "$log")"
        remove_copy
        return
    fi
    $command >>"$log" 2>&1
    remove_copy
    report "$job" "$log" $(((SECONDS - begun + 59) / 60))
}

mkdir -p "$logs"
for job in "${@:-15 16 17 18 19 no-openssl aarch64}"; do
    for one in $job; do run_job "$one"; done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
