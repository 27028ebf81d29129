#!/usr/bin/env bash
# What is committed, as sparse-VERSION.tar.gz and, for PGXN, sparse-VERSION.zip in the
# directory it is called in. The same commit gives the same bytes.
#
#   test/dist.sh VERSION [tar]     tar: no zip

set -euo pipefail
out=$PWD
version=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git rev-parse --verify --quiet HEAD >/dev/null || { echo "make dist archives a commit, and this is no git repository" >&2; exit 1; }
git diff-index --quiet HEAD -- || echo "make dist: changes that are not committed are not in it" >&2
git archive --format=tar --prefix="sparse-$version/" HEAD | gzip --no-name >"$out/sparse-$version.tar.gz"
[ "${2:-}" = tar ] || git archive --format=zip --prefix="sparse-$version/" HEAD >"$out/sparse-$version.zip"
