#!/usr/bin/env bash
# Boots a fresh, minimal Debian with its systemd as process 1, in namespaces of its own, and runs the package DEB there as an
# operator would: install, start, status, reload, a hung process, sockets that outlive it, stop. As root, some minutes, with
# the network of apt (the booted system has none but loopback). RELEASE= and MIRROR= choose another Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/debian-tree.sh

# The unit's WatchdogSec, and what a killed process and its next start take.
watchdog_seconds=20
console="$root.console"
boot=""
# Process 1 of the booted system, as this system numbers it.
init() { pgrep -P "$boot" | head -n 1; }
end() {
  # With process 1 the kernel ends all of that system, and with its last process the mounts.
  if [ -n "$boot" ]; then
    kill -KILL "$(init)" 2>/dev/null || true
    wait "$boot" 2>/dev/null || true
  fi
  unmount_root
  rm -rf --one-file-system "$root"
  [ -z "${group:-}" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
trap end EXIT
make_tree -systemd systemd "libelf1 zlib1g"

# A control group of its own, which the booted system sees as the root of all.
unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$unified" ] || fail "no cgroup2 is mounted here"
group="$unified/sipedge-boot-test.$$"
mkdir "$group"

say "booting it"
export ROOT="$root" GROUP="$group"
bash -euc '
  echo $$ >"$GROUP/cgroup.procs"
  exec unshare --mount --pid --fork --uts --ipc --net --cgroup -- bash -euc "
    mount --make-rprivate /
    mount --bind \"$ROOT\" \"$ROOT\"
    cd \"$ROOT\"
    hostname sipedge-boot-test
    ip link set lo up
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs tmpfs run
    mount -t tmpfs tmpfs tmp
    mount -t tmpfs tmpfs dev
    mknod -m 666 dev/null c 1 3 && mknod -m 666 dev/zero c 1 5 && mknod -m 666 dev/full c 1 7
    mknod -m 666 dev/random c 1 8 && mknod -m 666 dev/urandom c 1 9 && mknod -m 666 dev/tty c 5 0
    ln -s /proc/self/fd dev/fd
    mkdir dev/shm dev/pts && mount -t tmpfs tmpfs dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts && ln -s pts/ptmx dev/ptmx
    # Not only chroot: systemd makes mount namespaces of its own, from a root that is one.
    pivot_root . . && umount -l .
    exec chroot . /usr/bin/env -i container=sipedge-boot-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
  "
' >"$console" 2>&1 &
boot=$!

inside() {
  nsenter -t "$(init)" -m -u -i -n -p -C -r -w -- \
    /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PAGER= LC_ALL=C "$@"
}
# Waits until a command in there succeeds.
until_inside() {
  local what="$1" seconds="$2"
  shift 2
  for _ in $(seq $((seconds * 5))); do
    ! inside "$@" >/dev/null 2>&1 || return 0
    kill -0 "$boot" 2>/dev/null || { tail -n 20 "$console" >&2; fail "the booted system ended"; }
    sleep 0.2
  done
  inside journalctl --no-pager -n 40 >&2 || tail -n 20 "$console" >&2
  fail "$what"
}
property() { inside systemctl show -p "$1" --value sipedge.service; }
is() { [ "$(property "$1")" = "$2" ] || { inside journalctl --no-pager -n 40 >&2; fail "$1 is $(property "$1"), not $2"; }; }

# Not is-system-running: units that need a real machine may fail in there, ours must not.
until_inside "it does not boot" 60 systemctl is-active --quiet multi-user.target
version=$(inside systemctl --version | awk 'NR == 1 { print $2 }')
say "systemd $version is process 1; installing $deb"
cp "$deb" "$root/sipedge.deb"
inside dpkg -i /sipedge.deb >"$log" 2>&1 || { cat "$log" >&2; fail "it does not install"; }
is ActiveState inactive
if [ "$version" -lt 253 ]; then
  inside mkdir -p /etc/systemd/system/sipedge.service.d
  inside cp /usr/share/doc/sipedge/examples/before-253.conf /etc/systemd/system/sipedge.service.d/
  inside systemctl daemon-reload
fi

say "starting it"
inside systemctl enable --now sipedge.service >"$log" 2>&1 || {
  cat "$log" >&2
  inside journalctl --no-pager -n 40 >&2
  fail "it does not start"
}
is ActiveState active
is NRestarts 0
[[ "$(property StatusText)" == "running: "*" backends take new calls" ]] || fail "its status is: $(property StatusText)"
[ "$(inside stat -c %U "/proc/$(property MainPID)")" = sipedge ] || fail "it does not run as sipedge"
score=$(inside systemd-analyze security --no-pager sipedge.service | sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
say "it runs: $(property StatusText); exposure $score"
steering=$(inside journalctl --no-pager -u sipedge | sed -n 's/.*INFO \(shards are chosen .*\)/\1/p' | tail -n 1)
say "$steering"
[[ "$steering" == *"(eBPF)" ]] || [[ "$steering" == *"no clang"* ]] || fail "the unit's rights do not do for the steering program"

policies=$(inside sh -c "awk '\$2 == \"(admin)\" { print \$41 }' /proc/$(property MainPID)/task/*/stat")
[ "$policies" = 5 ] || fail "the admin thread does not give way: its policy is $policies, not SCHED_IDLE (5)"

say "reload: a good configuration, a bad one"
inside systemctl reload sipedge.service || { inside journalctl --no-pager -n 10 >&2; fail "a reload failed"; }
inside sh -c 'echo "# edited" >>/etc/sipedge/sipedge.toml && systemctl reload sipedge.service'
until_inside "the reload was not taken over" 10 sh -c 'journalctl --no-pager -u sipedge | grep -q "reload: "'
inside sh -c 'cp /etc/sipedge/sipedge.toml /etc/sipedge/good.toml && echo "[nod]" >>/etc/sipedge/sipedge.toml'
inside systemctl reload sipedge.service || true
until_inside "a bad configuration was not refused" 10 sh -c \
  'systemctl show -p StatusText sipedge | grep -q "the last reload was refused"'
is ActiveState active
is NRestarts 0
inside cp /etc/sipedge/good.toml /etc/sipedge/sipedge.toml

say "a process that hangs: stopped, until the watchdog sees it (${watchdog_seconds} s)"
hung=$(property MainPID)
inside sh -c "kill -STOP $hung"
until_inside "the watchdog did not restart it" $((watchdog_seconds + 20)) sh -c \
  "systemctl show -p NRestarts sipedge | grep -qx NRestarts=1 && systemctl is-active --quiet sipedge"
inside journalctl --no-pager -u sipedge | grep -m 1 'Watchdog timeout' || fail "the journal does not say why"

say "a process that is killed comes back"
inside sh -c "kill -KILL $(property MainPID)"
until_inside "it did not come back" 10 sh -c \
  "systemctl show -p NRestarts sipedge | grep -qx NRestarts=2 && systemctl is-active --quiet sipedge"

say "sockets of systemd: a datagram that comes while nobody runs is answered by who is started for it"
inside systemctl stop sipedge.service
is ActiveState inactive
is Result success
inside sh -c 'printf "[node]\nshards = 2\n" | cat - /etc/sipedge/good.toml >/etc/sipedge/sipedge.toml'
inside systemctl enable --now sipedge.socket >"$log" 2>&1 || { cat "$log" >&2; fail "the sockets do not start"; }
is ActiveState inactive
cat >"$root/ask.sh" <<'ASK'
exec 3<>/dev/udp/127.0.0.1/5060
printf '%s\r\n' "OPTIONS sip:edge@127.0.0.1 SIP/2.0" "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKboot;rport" \
  "Max-Forwards: 0" "From: <sip:boot@127.0.0.1>;tag=1" "To: <sip:edge@127.0.0.1>" "Call-ID: boot@127.0.0.1" \
  "CSeq: 1 OPTIONS" "Content-Length: 0" "" >/tmp/request
cat /tmp/request >&3
# One read takes the whole datagram.
timeout 20 head -n 1 <&3
ASK
answer=$(inside bash /ask.sh) || { inside journalctl --no-pager -n 40 >&2; fail "nobody answered"; }
say "it answered: ${answer%$'\r'}"
[[ "$answer" == "SIP/2.0 483 "* || "$answer" == "SIP/2.0 200 "* ]] || fail "that is no answer to it"
is ActiveState active

say "stop: it drains and ends well"
inside systemctl stop sipedge.socket sipedge.service
is ActiveState inactive
is Result success
! inside systemctl --failed --no-legend | grep sipedge || fail "a unit of ours has failed"
rm -f "$log" "$console"
say "ok: systemd $version, exposure $score"
