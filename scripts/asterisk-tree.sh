#!/usr/bin/env bash
# A small Debian with Asterisk 22 in a folder, for the live tests: Debian 12 and 13 have no Asterisk. As root, two minutes
# and 300 MB, once: it stays in /var/cache/sipedge-tests until you remove it. RELEASE= and MIRROR= choose another Debian.
# Where it cannot be made, the reason goes to target/asterisk.missing, and the tests skip their cases with that reason.
set -euo pipefail
cd "$(dirname "$0")/.."

release="${RELEASE:-forky}"
mirror="${MIRROR:-http://deb.debian.org/debian}"
tree="${SIPEDGE_ASTERISK_TREE:-/var/cache/sipedge-tests/asterisk-$release}"
missing="${CARGO_TARGET_DIR:-target}/asterisk.missing"
minutes_max=10

say() { printf 'asterisk-tree: %s\n' "$*" >&2; }

if [ -x "$tree/usr/sbin/asterisk" ]; then
  rm -f "$missing"
  exit 0
fi
mkdir -p "$(dirname "$missing")"
cannot() {
  say "$*; the tests with Asterisk will be skipped (reason kept in $missing)"
  printf '%s\n' "$*" >"$missing"
  exit 0
}
[ "$(id -u)" -eq 0 ] || cannot "not root: a tree of another Debian is made and entered"
command -v debootstrap >/dev/null || cannot "there is no debootstrap"

# One at a time, from any clone.
mkdir -p "$(dirname "$tree")"
exec 9>"$tree.lock"
flock 9
if [ -x "$tree/usr/sbin/asterisk" ]; then
  rm -f "$missing"
  exit 0
fi

part="$tree.part"
log="$tree.log"
# Whatever is mounted in there is not ours to delete through: debootstrap mounts proc for the time of its work.
remove_part() {
  { grep -o " $part/[^ ]*" /proc/mounts || true; } | sort -r | xargs -r -n 1 umount
  rm -rf --one-file-system "$part"
}
remove_part
trap remove_part EXIT

make_part() {
  # An older debootstrap has no script for a newer release; all newer ones are made alike.
  local script=/usr/share/debootstrap/scripts/sid
  debootstrap --variant=minbase "$release" "$part" "$mirror" "$script" &&
    chroot "$part" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -q --no-install-recommends asterisk asterisk-modules </dev/null
}
export -f make_part
export release part mirror
say "making it with: debootstrap --variant=minbase $release $tree $mirror"
say "  and in there: apt-get install --no-install-recommends asterisk asterisk-modules (log in $log)"
if ! timeout "${minutes_max}m" bash -c make_part >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  cannot "Debian $release with Asterisk could not be had from $mirror"
fi
rm -rf "$part"/var/cache/apt "$part"/var/lib/apt/lists/* "$part"/usr/share/{doc,man,locale}
mv "$part" "$tree"
rm -f "$missing"
say "Asterisk $(chroot "$tree" dpkg-query -W -f '${Version}' asterisk) is in $tree"
