#!/bin/sh
# Debian packages for the image: those that run the extension and its client ("run"), or
# that build it for server PG_MAJOR ("build").
set -e
case $1 in
    run) packages="libzstd1 libxxhash0 libyajl2 libyaml-0-2 libmicrohttpd12 libssl3 libpq5" ;;
    build) packages="gcc make libc6-dev libzstd-dev libxxhash-dev libyajl-dev libyaml-dev libmicrohttpd-dev libssl-dev libpq-dev postgresql-server-dev-${PG_MAJOR:?}" ;;
    *) echo "usage: packages.sh run | build" >&2; exit 2 ;;
esac
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
rm -rf /var/lib/apt/lists/*
