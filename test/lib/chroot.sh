# Other releases of the distribution, each in a directory of its own. Sourced, not run;
# needs root and debootstrap.
#
# A bare chroot per suite is made once and kept under $SPARSE_CHROOTS until it is older
# than $SPARSE_CHROOT_DAYS (7); what is to be done happens in a copy, removed afterwards.
# Everything mounted, and every process, is in a namespace that ends with the command, so
# that nothing is left behind however it ends.
#
#   bare_chroot SUITE            sets $bare: made if it is not there, or too old
#   copy_chroot SUITE NAME       sets $copy: a fresh copy of it
#   remove_copy                  and that it is no more; also when the script ends
#   in_chroot DIRECTORY COMMAND...
#   apt_in DIRECTORY ARGUMENT... apt-get there, asking nothing
#   copy_tree DIRECTORY          what a clone of this tree has, and what is new in this one

SPARSE_CHROOTS=${SPARSE_CHROOTS:-/var/cache/sparse-chroots}
SPARSE_CHROOT_DAYS=${SPARSE_CHROOT_DAYS:-7}
UBUNTU_MIRROR=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}

# Where this machine gets its own packages from.
debian_mirror() {
    local found
    found=$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 | tr -d ' ') || true
    echo "${found:-http://deb.debian.org/debian}"
}

mirror_of() {
    case $1 in
        noble) echo "$UBUNTU_MIRROR" ;;
        *) debian_mirror ;;
    esac
}

# Debian's experimental is no release of its own, but sid and some packages more.
release_of() { [ "$1" = experimental ] && echo sid || echo "$1"; }

# Whether the suite can be had at all: the reason why not is printed.
can_be_had() {
    local suite=$1 url scratch
    [ "$(id -u)" -eq 0 ] || { echo "a chroot needs root"; return 1; }
    command -v debootstrap >/dev/null || { echo "debootstrap is not installed"; return 1; }
    unshare --mount --pid --fork --propagation private mount -t tmpfs none /mnt 2>/dev/null ||
        { echo "namespaces with mounts of their own are not allowed here"; return 1; }
    url=$(mirror_of "$suite")/dists/$(release_of "$suite")/Release
    scratch=$(mktemp -d)
    /usr/lib/apt/apt-helper download-file "$url" "$scratch/release" >/dev/null 2>&1 ||
        url="$url cannot be reached"
    rm -rf "$scratch"
    case $url in *" cannot be reached") echo "$url"; return 1 ;; esac
}

in_chroot() {
    local directory=$1
    shift
    unshare --mount --pid --fork --kill-child --propagation private bash -c '
        directory=$1
        shift
        mount -t proc proc "$directory/proc"
        mount --rbind /dev "$directory/dev"
        mount -t tmpfs tmpfs "$directory/dev/shm"
        cache=$SPARSE_CHROOTS/ccache.$(cat "$directory/etc/sparse-suite")
        mkdir -p "$cache" "$directory/var/cache/sparse-ccache"
        chmod 1777 "$cache"
        mount --bind "$cache" "$directory/var/cache/sparse-ccache"
        exec chroot "$directory" env -i HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
            PATH=/usr/lib/ccache:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            CCACHE_DIR=/var/cache/sparse-ccache CCACHE_UMASK=000 CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=/home "$@"' \
        in_chroot "$directory" "$@"
}
export SPARSE_CHROOTS

apt_in() {
    local directory=$1
    shift
    in_chroot "$directory" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@" </dev/null
}

copy_tree() {
    {
        git -c safe.directory='*' ls-files -z --cached --others --exclude-standard 2>/dev/null ||
            find . -type f ! -path './build/*' ! -name '*.[od]' ! -name '*.so' ! -name pg_sparse -print0
    } | tar --null --files-from=- -cf - | tar -xf - -C "$1"
}

# The keys that a suite is signed with, where they are not those of this machine's own
# distribution: Ubuntu's are in a package of Debian, which is signed itself.
keyring_of() {
    local keys=$SPARSE_CHROOTS/ubuntu-archive-keyring.gpg
    [ "$1" = noble ] || return 0
    if [ ! -s "$keys" ]; then
        bare_chroot trixie || return
        { in_chroot "$bare" sh -c 'cd /tmp && { apt-get -q update && apt-get -q download ubuntu-keyring; } >&2 &&
            dpkg-deb --fsys-tarfile ubuntu-keyring_*.deb | tar -xO ./usr/share/keyrings/ubuntu-archive-keyring.gpg
            rm -f ubuntu-keyring_*.deb' >"$keys.new" 2>"$SPARSE_CHROOTS/noble.log" && [ -s "$keys.new" ]; } ||
            { tail -n 3 "$SPARSE_CHROOTS/noble.log" >&2; return 1; }
        mv "$keys.new" "$keys"
    fi
    echo "$keys"
}

# Half a chroot is never taken for one: it gets its name at the end.
bare_chroot() {
    local suite=$1 keys
    keys=$(keyring_of "$suite") || return
    bare=$SPARSE_CHROOTS/bare.$suite
    if [ -n "$(find "$bare/etc/sparse-suite" -mtime "-$SPARSE_CHROOT_DAYS" 2>/dev/null)" ]; then return 0; fi
    rm -rf "$bare" "$bare.new"
    mkdir -p "$SPARSE_CHROOTS"
    if [ "$suite" != "$(release_of "$suite")" ]; then
        bare_chroot "$(release_of "$suite")" && cp -a --reflink=auto "$bare" "$SPARSE_CHROOTS/bare.$suite.new" || return
        bare=$SPARSE_CHROOTS/bare.$suite
    else
        # "gutsy" is debootstrap's script for each Ubuntu since, and an older one does not know noble
        debootstrap --variant=minbase ${keys:+--keyring="$keys"} "$suite" "$bare.new" "$(mirror_of "$suite")" ${keys:+gutsy} >"$SPARSE_CHROOTS/$suite.log" 2>&1 ||
            { tail -n 3 "$SPARSE_CHROOTS/$suite.log" >&2; return 1; }
    fi
    echo force-unsafe-io >"$bare.new/etc/dpkg/dpkg.cfg.d/unsafe-io"
    # a mirror may be a snapshot of a day long past
    printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'Acquire::Retries "5";' >"$bare.new/etc/apt/apt.conf.d/snapshot"
    printf '#!/bin/sh\nexit 101\n' >"$bare.new/usr/sbin/policy-rc.d"
    chmod 755 "$bare.new/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf "$bare.new/etc/resolv.conf"
    case $suite in
        experimental)
            echo "deb $(mirror_of "$suite") experimental main" >"$bare.new/etc/apt/sources.list.d/experimental.list"
            printf 'Package: *postgresql* libpq*\nPin: release a=experimental\nPin-Priority: 990\n' >"$bare.new/etc/apt/preferences.d/postgresql"
            ;;
        noble) echo "deb $(mirror_of "$suite") noble main universe" >"$bare.new/etc/apt/sources.list" ;;
    esac
    echo "$suite" >"$bare.new/etc/sparse-suite"
    mv "$bare.new" "$bare"
}

# Packages that one run fetched, the next one finds: by links, for apt locks its directory, and
# runs may be at work side by side.
share_archives() {
    mkdir -p "$2"
    find "$1" -maxdepth 1 -name '*.deb' -exec cp -ln -t "$2" {} + 2>/dev/null || true
}

copy=
remove_copy() {
    if [ -d "$copy" ]; then
        share_archives "$copy/var/cache/apt/archives" "$SPARSE_CHROOTS/archives.$(cat "$copy/etc/sparse-suite")"
        rm -rf --one-file-system "$copy"
    fi
    copy=
}
trap remove_copy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Each run has copies of its own; those of runs that were killed go.
copy_chroot() {
    local old
    bare_chroot "$1" || return
    for old in "$SPARSE_CHROOTS"/run.*; do
        [ ! -d "$old" ] || kill -0 "${old##*.}" 2>/dev/null || rm -rf --one-file-system "$old"
    done
    copy=$SPARSE_CHROOTS/run.$2.$$
    cp -a --reflink=auto "$bare" "$copy" || return
    mkdir -p "$SPARSE_CHROOTS/archives.$1"
    share_archives "$SPARSE_CHROOTS/archives.$1" "$copy/var/cache/apt/archives"
}
