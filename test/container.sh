#!/usr/bin/env bash
# The steps of docker/Dockerfile where no docker runs: both of its stages in bare chroots of
# Debian with its PostgreSQL, which stand for the image postgres:17-trixie; then the init
# script on a fresh cluster, a push by the writer and a pull by the reader, with passwords.
#
#   test/container.sh           as root; the last line is "N passed, N failed"

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source test/lib/chroot.sh
passed=0

finish() {
    echo "$passed passed, $1 failed"
    [ "$1" -eq 0 ]
    exit
}

# One line for a step, and what it said where it failed, which ends the run.
step() {
    local what=$1
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        echo "FAILED  $what"
        sed 's/^/        /' "$log"
        finish 1
    fi
}

# A chroot with what the image has: a server and its client.
image() {
    copy_chroot trixie container && apt_in "$copy" update && apt_in "$copy" install postgresql-17 && mkdir "$copy/sparse" && copy_tree "$copy/sparse"
}

first_stage() { in_chroot "$copy" env PG_MAJOR=17 sh /sparse/docker/build.sh /sparse /out && cp -a "$copy/out/." "$out"; }

second_stage() { cp -a "$out/." "$copy" && in_chroot "$copy" sh /sparse/docker/packages.sh run; }

# As the image's entry point does it, and then what the roles may do, asked for their passwords.
first_start() {
    in_chroot "$copy" setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/tmp PGHOST=/tmp \
        SPARSE_READER_PASSWORD=r SPARSE_WRITER_PASSWORD=w bash -ec '
        PATH=/usr/lib/postgresql/17/bin:$PATH
        cd /tmp
        initdb --auth-local=trust --username=postgres data
        pg_ctl --pgdata=data --options="-c listen_addresses= -c unix_socket_directories=/tmp" --wait start
        sh /sparse/docker/init.sh
        sed -i "s/trust$/scram-sha-256/" data/pg_hba.conf
        pg_ctl --pgdata=data reload
        export PGDATABASE=postgres
        PGUSER=sparse_writer PGPASSWORD=w pg_sparse push /sparse/test/data/mini-base.safetensors acme/base
        PGUSER=sparse_writer PGPASSWORD=w pg_sparse push /sparse/test/data/mini-finetune.safetensors acme/tuned --parent acme/base
        PGUSER=sparse_reader PGPASSWORD=r pg_sparse pull acme/tuned -o /tmp/pulled
        cmp /tmp/pulled /sparse/test/data/mini-finetune.safetensors
        if PGUSER=sparse_reader PGPASSWORD=w pg_sparse ls; then exit 1; fi
        pg_ctl --pgdata=data --wait stop'
}

if ! why=$(can_be_had trixie); then
    echo "container skipped: $why"
    finish 0
fi
log=$(mktemp)
out=$(mktemp -d)
trap 'remove_copy; rm -rf "$log" "$out"' EXIT

step "an image with a server" image
step "the first stage builds" first_stage
remove_copy
step "another one" image
step "the second stage installs" second_stage
step "the first start makes a store, into which the writer pushes and from which the reader pulls" first_start
finish 0
