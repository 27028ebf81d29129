#!/bin/sh
# Builds the tree SOURCE for the server PG_MAJOR and installs it below OUT: what the
# image's first stage does.
#
#   PG_MAJOR=17 docker/build.sh SOURCE OUT
set -e
source=$1
out=$2
sh "$source/docker/packages.sh" build
build=$(mktemp -d)
cd "$build"
make -s -j"$(nproc)" -f "$source/Makefile" install DESTDIR="$out" PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR:?}/bin/pg_config"
