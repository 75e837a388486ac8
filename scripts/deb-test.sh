#!/usr/bin/env bash
# Installs the package DEB (default: the one in target/debian) into a fresh, minimal Debian, starts the program there, and
# takes the package off again. As root, some minutes, with the network of apt. Nothing of this machine is mounted into that
# tree: what it needs is installed or copied. RELEASE= and MIRROR= choose another Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/debian-tree.sh

edge=""
end() {
  [ -z "$edge" ] || kill -KILL "$edge" 2>/dev/null || true
  unmount_root
  rm -rf --one-file-system "$root"
}
trap end EXIT
make_tree "" systemd-standalone-sysusers,systemd-standalone-tmpfiles,libelf1,zlib1g

# In namespaces of its own, with a /proc of its own: this machine's mounts stay as they are.
in_root() {
  unshare --mount --pid --fork --mount-proc="$root/proc" -- \
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
}

say "installing $deb"
cp "$deb" "$root/sipedge.deb"
in_root dpkg -i /sipedge.deb || fail "it does not install"
in_root getent passwd sipedge >/dev/null || fail "there is no user sipedge"
rights=$(in_root stat -c '%a %U %G' /etc/sipedge/sipedge.toml)
[ "$rights" = "640 root sipedge" ] || fail "the configuration is $rights"
for file in /usr/lib/systemd/system/sipedge.service /usr/share/doc/sipedge/README.md; do
  [ -f "$root$file" ] || fail "there is no $file"
done

say "starting it as the user sipedge, in a network of its own"
id=$(in_root id -u sipedge):$(in_root id -g sipedge)
run="ip link set lo up && exec chroot --userspec=$id $root /usr/bin/sipedge run -c /etc/sipedge/sipedge.toml"
unshare --net -- bash -c "$run" >"$root.run" 2>&1 &
edge=$!
for _ in $(seq 100); do
  grep -q ' ready$' "$root.run" && break
  kill -0 "$edge" 2>/dev/null || { cat "$root.run" >&2; fail "it ended"; }
  sleep 0.1
done
grep -q ' ready$' "$root.run" || { cat "$root.run" >&2; fail "it is not ready"; }
ask='exec 3<>/dev/tcp/127.0.0.1/9060 && printf "GET /healthz HTTP/1.0\r\n\r\n" >&3 && head -n 1 <&3'
health=$(nsenter --net="/proc/$edge/ns/net" -- bash -c "$ask")
[[ "$health" == *" 200 "* ]] || fail "/healthz says: $health"
kill -TERM "$edge"
wait "$edge" || { cat "$root.run" >&2; fail "it did not end cleanly"; }
edge=""
say "it ran: $(grep -c . "$root.run") lines of log, /healthz 200, a clean end"

say "installing it again over an edited configuration, taking it off, purging it"
echo "# edited" >>"$root/etc/sipedge/sipedge.toml"
in_root dpkg -i /sipedge.deb || fail "it does not install twice"
grep -q '^# edited' "$root/etc/sipedge/sipedge.toml" || fail "the edited configuration was overwritten"
in_root dpkg -r sipedge || fail "it cannot be removed"
[ -f "$root/etc/sipedge/sipedge.toml" ] || fail "removing took the configuration"
in_root dpkg -P sipedge || fail "it cannot be purged"
left=$(find "$root/etc" "$root/usr" -name '*sipedge*' | sed "s,^$root,,")
[ -z "$left" ] || fail "purging left: $left"
rm -f "$log" "$root.run"
say "ok"
