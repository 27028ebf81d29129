#!/usr/bin/env bash
# Debian packages of what is committed: built in a bare chroot of a release, examined by
# lintian, installed in another bare chroot, and used there by the tests in debian/tests.
#
#   test/deb.sh [SUITE]         trixie by default; the packages lie in build/deb/SUITE

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source test/lib/chroot.sh
suite=${1:-trixie}
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" sparse.control)
out=$PWD/build/deb/$suite

say() { printf '\n== %s\n' "$*"; }

if ! why=$(can_be_had "$suite"); then
    echo "make deb: $why" >&2
    exit 1
fi
mkdir -p "$out"
rm -f "$out"/*
(cd "$out" && bash ../../../test/dist.sh "$version" tar)

say "Building on a bare $suite"
copy_chroot "$suite" deb-build
mkdir "$copy/build"
tar -xzf "$out/sparse-$version.tar.gz" -C "$copy/build"
# what others wrote, and beside it what makes packages of it
tar --exclude="sparse-$version/debian" --sort=name --owner=0 --group=0 --numeric-owner -C "$copy/build" \
    -czf "$copy/build/pg-sparse_$version.orig.tar.gz" "sparse-$version"
apt_in "$copy" update >/dev/null
apt_in "$copy" install build-essential lintian postgresql-server-dev-all debhelper ${SPARSE_CCACHE:+ccache} >"$out/build.log"
# for the servers that this release has
in_chroot "$copy" bash -c "cd /build/sparse-$version && pg_buildext updatecontrol && apt-get -q -y --no-install-recommends build-dep ./ &&
    dpkg-buildpackage -us -uc -j2" </dev/null >>"$out/build.log" 2>&1 || { tail -n 30 "$out/build.log"; exit 1; }
# these packages are no upload to Debian, which would close the bug that asked for them
in_chroot "$copy" bash -c "cd /build && lintian --info --suppress-tags initial-upload-closes-no-bugs --fail-on error,warning *.changes" || exit 1
echo "lintian is content"
cp "$copy"/build/*.deb "$copy"/build/*.dsc "$copy"/build/*.changes "$copy"/build/*.orig.tar.gz "$copy"/build/*.debian.tar.* "$out"
remove_copy

say "Installing on another"
copy_chroot "$suite" deb-use
mkdir "$copy/packages"
cp "$out"/*.deb "$copy/packages"
tar -xzf "$out/sparse-$version.tar.gz" -C "$copy"
apt_in "$copy" update >/dev/null
in_chroot "$copy" bash -c 'apt-get -q -y --no-install-recommends install $(ls /packages/*.deb | grep -v dbgsym)' </dev/null >"$out/install.log" 2>&1 ||
    { tail -n 30 "$out/install.log"; exit 1; }
in_chroot "$copy" bash -c 'dpkg --list "*sparse*" | grep ^ii'

say "A push and a pull there"
in_chroot "$copy" bash -c "cd /sparse-$version && debian/tests/push-pull"

say "The regression tests there"
apt_in "$copy" install make postgresql-server-dev-all >>"$out/install.log"
in_chroot "$copy" bash -c "cd /sparse-$version && debian/tests/installcheck"
remove_copy
say "The packages are in $out"
