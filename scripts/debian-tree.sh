# A fresh, minimal Debian in a folder, for the tests of the package, which source this. RELEASE=, MIRROR= and DEB= choose.
# After it there are: say and fail, $deb and $release, a folder $root, a file $log beside it, and unmount_root.
# Call make_tree for the Debian itself.
release="${RELEASE:-bookworm}"
mirror="${MIRROR:-http://deb.debian.org/debian}"
deb="${DEB:-$(ls -t target/debian/sipedge_*.deb 2>/dev/null | head -n 1)}"
test_name=$(basename "$0" .sh)
say() { printf '%s: %s\n' "$test_name" "$*"; }
fail() { printf '%s: FAILED: %s\n' "$test_name" "$*" >&2; exit 1; }

[ -n "$deb" ] && [ -f "$deb" ] || fail "no package: make deb"
[ "$(id -u)" -eq 0 ] || fail "needs root: a tree of another Debian is made and entered"
if ! command -v debootstrap >/dev/null; then
  [ "${SIPEDGE_SETUP:-}" != no ] || fail "needs debootstrap: apt-get install -y --no-install-recommends debootstrap"
  say "debootstrap is missing; installing it with: apt-get install -y --no-install-recommends debootstrap"
  apt-get install -y -q --no-install-recommends debootstrap </dev/null
fi
root=$(mktemp -d "/tmp/sipedge-$test_name.XXXXXX")
log="$root.log"

# Whatever is mounted in there is not ours to delete through: debootstrap mounts proc for the time of its work.
unmount_root() {
  if grep -q " $root/" /proc/mounts; then
    grep -o " $root/[^ ]*" /proc/mounts | sort -r | xargs -r -n 1 umount
  fi
}

# Fills $root: name of the kept tree, packages for debootstrap, packages for apt (by names that newer releases find, too).
make_tree() {
  local kept="target/debian/$release$1.tar" include="$2" further="${3:-}"
  mkdir -p target/debian
  if [ -f "$kept" ]; then
    say "a minimal $release from $kept (remove it to make it anew)"
    tar -C "$root" -xf "$kept"
  else
    say "a minimal $release from $mirror (log in $log)"
    { debootstrap --variant=minbase --include="$include" "$release" "$root" "$mirror" &&
      { [ -z "$further" ] || chroot "$root" apt-get install -y -q --no-install-recommends $further; }; } \
      >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "debootstrap"; }
    tar -C "$root" -cf "$kept.part" . && mv "$kept.part" "$kept"
  fi
  # mktemp lets nobody else in.
  chmod 755 "$root"
}
