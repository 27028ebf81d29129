#!/usr/bin/env bash
# Install the Debian packages that building and testing need, and only those that
# are missing: each is probed by what it brings, so that a server built from source
# or a package of another name counts too.
#
# As root, or with sudo that asks for no password, apt-get does it. Anyone else is
# told the packages and the command. Exit 0: everything is there. Exit 3: something
# is missing and could not be installed.
#
# Nothing that runs on the machine is touched: Debian creates and starts a cluster
# "main" with a server package, and starts what a package brings that can be started
# (pgbouncer); both is switched off for as long as this runs.
#
#   PG_CONFIG   the server to test against; else the newest that is installed, else the one
#               that apt would install

set -euo pipefail
export LC_ALL=C
PG_CONFIG=${PG_CONFIG:-pg_config}
CREATECLUSTER_DIR=/etc/postgresql-common/createcluster.d
NO_CLUSTER_FILE=$CREATECLUSTER_DIR/zz-sparse-no-main-cluster.conf
POLICY_FILE=/usr/sbin/policy-rc.d

# The server that this release of the distribution has: "postgresql" depends on it.
offered_major() {
    apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | sort -n | tail -n 1
}

# The major version to install packages of.
server_major() {
    local found
    found=$("$PG_CONFIG" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p') || true
    if [ -z "$found" ]; then
        found=$(ls -v /usr/lib/postgresql 2>/dev/null | tail -n 1) || true
    fi
    if [ -z "$found" ]; then
        found=$(offered_major)
    fi
    echo "$found"
}

in_bindir() { [ -x "$("$PG_CONFIG" --bindir 2>/dev/null)/$1" ]; }

in_pgxs() {
    local makefile
    makefile=$("$PG_CONFIG" --pgxs 2>/dev/null) && [ -e "${makefile%/makefiles/pgxs.mk}/$1" ]
}

# With its version's own headers: Debian's client package brings pgxs.mk, but not them.
has_server_headers() { [ -e "$("$PG_CONFIG" --includedir-server 2>/dev/null)/postgres.h" ] && in_pgxs makefiles/pgxs.mk; }

# Daemons lie where an ordinary user's PATH does not lead.
has_program() { command -v "$1" || [ -x "/usr/sbin/$1" ]; }

compiles() { printf '#include <stddef.h>\n#include <stdio.h>\n%s\nint main(void) { return 0; }\n' "$1" |
    gcc -x c -fsyntax-only -I"$("$PG_CONFIG" --includedir 2>/dev/null || echo /usr/include/postgresql)" - 2>/dev/null; }

# Debian's packages are for Debian's Python, which need not be the first.
any_python() { python3 -c "$1" || /usr/bin/python3 -c "$1"; }

# Print the packages whose gifts are not here, one a line.
missing_packages() {
    local major
    major=$(server_major)
    need() { local package=$1; shift; "$@" >/dev/null 2>&1 || echo "$package"; }

    need gcc command -v gcc
    need make command -v make
    need libc6-dev compiles ''
    need "postgresql-$major" in_bindir postgres
    need "postgresql-client-$major" in_pgxs test/perl/PostgreSQL/Test/Cluster.pm
    need "postgresql-server-dev-$major" has_server_headers
    need libzstd-dev compiles '#include <zstd.h>'
    need libxxhash-dev compiles '#include <xxhash.h>'
    need libyajl-dev compiles '#include <yajl/yajl_parse.h>'
    need libyaml-dev compiles '#include <yaml.h>'
    need libmicrohttpd-dev compiles '#include <microhttpd.h>'
    need libssl-dev compiles '#include <openssl/evp.h>'
    need libpq-dev compiles '#include <libpq-fe.h>'
    need python3-psycopg any_python 'import psycopg'
    need python3-numpy any_python 'import numpy'
    need libipc-run-perl perl -MIPC::Run -e 1
    need perl command -v prove
    need zstd command -v zstd
    need pgbouncer has_program pgbouncer
    need curl command -v curl
    # hundreds of packages on a bare system, and for one test alone
    [ -n "${QUICKSTART:-}" ] || { need nodejs command -v node; need npm command -v npm; }
}

# Run the arguments as root: directly, or through sudo where it asks nothing.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# For the duration only, and whether or not postgresql-common is installed yet. A policy
# that is there already stays as it is.
forbid_starts() {
    as_root mkdir -p "$CREATECLUSTER_DIR"
    echo 'create_main_cluster = false' | as_root tee "$NO_CLUSTER_FILE" >/dev/null
    if [ ! -e "$POLICY_FILE" ]; then
        our_policy=1
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY_FILE" >/dev/null
        as_root chmod 755 "$POLICY_FILE"
    fi
}

allow_starts() {
    as_root rm -f "$NO_CLUSTER_FILE"
    as_root rmdir "$CREATECLUSTER_DIR" 2>/dev/null || true
    if [ -n "${our_policy:-}" ]; then as_root rm -f "$POLICY_FILE"; fi
}

install_with_apt() {
    trap allow_starts EXIT
    forbid_starts
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends install "$@" </dev/null
}

main() {
    local missing
    # A path that was named is meant: no other server will do.
    if [[ $PG_CONFIG == */* ]] && ! "$PG_CONFIG" --version >/dev/null 2>&1; then
        echo "PG_CONFIG=$PG_CONFIG does not run" >&2
        return 3
    fi
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! command -v apt-get >/dev/null || ! can_be_root; then
        {
            echo "missing packages: ${missing[*]}"
            echo "ask someone who may, to run:"
            echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
            echo "and start again"
        } >&2
        return 3
    fi

    # only now is known what this release has to offer
    as_root apt-get -q update </dev/null
    mapfile -t missing < <(missing_packages)
    echo "installing ${missing[*]}"
    install_with_apt "${missing[@]}"

    mapfile -t missing < <(missing_packages)
    if [ ${#missing[@]} -gt 0 ]; then
        echo "still missing after apt-get install: ${missing[*]}" >&2
        return 3
    fi
}

main
