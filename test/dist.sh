#!/usr/bin/env bash
# What is committed, as sparse-VERSION.tar.gz and, for PGXN, sparse-VERSION.zip in the
# directory it is called in. The same commit gives the same bytes.
#
#   test/dist.sh VERSION [tar]     tar: no zip

set -euo pipefail
out=$PWD
version=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# an archive has times in the zone of whoever makes it, and what his git is told to do
export TZ=UTC
archive() { git -c tar.umask=0002 -c core.autocrlf=false -c core.compression=-1 archive --prefix="sparse-$version/" "--format=$1" HEAD; }
git rev-parse --verify --quiet HEAD >/dev/null || { echo "make dist archives a commit, and this is no git repository" >&2; exit 1; }
git diff-index --quiet HEAD -- || echo "make dist: changes that are not committed are not in it" >&2
archive tar | gzip --no-name >"$out/sparse-$version.tar.gz"
[ "${2:-}" = tar ] || archive zip >"$out/sparse-$version.zip"
