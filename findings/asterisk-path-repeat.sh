#!/usr/bin/env bash
# Finding: Asterisk 22.10.1 (chan_pjsip, res_pjsip_path) repeats the Path of a contact behind the route set of a dialog.
#
# P1, P2: Path of the registration. D1, D2: the route set of the answered call. What it writes as Route:
#   dialled                    INVITE   CANCEL        ACK of 200   BYE by Asterisk
#   Dial(PJSIP/1002)           P1 P2    P1 P2 P1 P2   D1 D2        D1 D2 P1 P2
#   PJSIP_DIAL_CONTACTS(1002)  P1 P2    P1 P2 P1 P2   D1 D2        D1 D2
# Expected (RFC 3261 9.1, 12.2.1.1): CANCEL has the Route of its INVITE, BYE the route set of the dialog: P1 P2, and D1 D2.
# A proxy that takes its own values off one after the other meets a second pair when it stands at the phone already.
#
# No sipedge takes part: Asterisk from Debian forky, one Python script that plays both phones and the proxy, in a network
# namespace with loopback alone. As root, with debootstrap; three minutes, 300 MB in a temporary folder. Not run by CI.
# Ends with 0 when it behaves as written here, with 1 when it does not any more.
set -euo pipefail

version="1:22.10.1+dfsg+~cs6.17.60671434-1"
release=forky
mirror="${MIRROR:-http://deb.debian.org/debian}"
folder=$(mktemp -d /tmp/finding-asterisk.XXXXXX)
asterisk=""
end() {
  [ -z "$asterisk" ] || kill -KILL "$asterisk" 2>/dev/null || true
  { grep -o " $folder/[^ ]*" /proc/mounts || true; } | sort -r | xargs -r -n 1 umount
  rm -rf --one-file-system "$folder"
}
trap end EXIT
[ "$(id -u)" -eq 0 ] || { echo "needs root: a tree of another Debian is made and entered" >&2; exit 2; }

tree="$folder/tree"
echo "== Asterisk $version from Debian $release, in $tree"
{
  debootstrap --variant=minbase "$release" "$tree" "$mirror" /usr/share/debootstrap/scripts/sid
  chroot "$tree" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    "asterisk=$version" "asterisk-modules=$version" "asterisk-config=$version"
} >"$folder/log" 2>&1 </dev/null || { tail -n 5 "$folder/log" >&2; echo "that version is not to be had there" >&2; exit 2; }

mkdir "$tree/finding"
cat >"$tree/finding/asterisk.conf" <<'CONF'
[directories]
astcachedir => /finding
astetcdir => /finding
astmoddir => /usr/lib/x86_64-linux-gnu/asterisk/modules
astvarlibdir => /usr/share/asterisk
astdbdir => /finding
astkeydir => /finding
astdatadir => /usr/share/asterisk
astagidir => /finding
astspooldir => /finding
astrundir => /finding
astlogdir => /finding
CONF
{
  printf '[modules]\nautoload=no\n'
  for module in res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_pjsip res_pjsip_registrar \
    res_pjsip_authenticator_digest res_pjsip_endpoint_identifier_user res_pjsip_path res_pjsip_session res_pjsip_sdp_rtp \
    res_pjsip_pubsub res_pjsip_outbound_publish res_pjsip_exten_state res_rtp_asterisk chan_pjsip pbx_config \
    app_dial bridge_simple codec_ulaw func_pjsip_endpoint; do
    echo "load=$module.so"
  done
} >"$tree/finding/modules.conf"
cat >"$tree/finding/pjsip.conf" <<'CONF'
[udp]
type=transport
protocol=udp
bind=127.0.0.1
[1001]
type=endpoint
context=phones
disallow=all
allow=ulaw
direct_media=no
[1002]
type=endpoint
context=phones
disallow=all
allow=ulaw
direct_media=no
aors=1002
[1002]
type=aor
max_contacts=1
support_path=yes
CONF
cat >"$tree/finding/extensions.conf" <<'CONF'
[phones]
exten => 1002,1,Dial(PJSIP/1002,30)
exten => 2002,1,Dial(${PJSIP_DIAL_CONTACTS(1002)},30)
CONF

cat >"$folder/phones.py" <<'PYTHON'
import re, socket, sys, time

ASTERISK = ("127.0.0.1", 5060)
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.8\r\ns=-\r\nc=IN IP4 127.0.0.8\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
PATH = ["<sip:p1@127.0.0.2:5060;lr>", "<sip:p2@127.0.0.3:5060;lr>"]
# Asterisk is the caller of that leg: its route set is the Record-Route from bottom to top.
RECORD = ["<sip:d2@127.0.0.3:5060;lr>", "<sip:d1@127.0.0.2:5060;lr>"]


def bound(host):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, 5060))
    s.settimeout(10)
    return s


caller, proxy = bound("127.0.0.8"), bound("127.0.0.2")


def lines(text, name):
    return [v for k, _, v in (line.partition(": ") for line in text.split("\r\n")) if k == name]


def routes(text):
    values = ",".join(lines(text, "Route"))
    return " ".join(name.upper() for name in re.findall(r"<sip:([pd][12])@", values))


def receive(s, wanted):
    while True:
        text = s.recv(65535).decode()
        if re.match(wanted, text):
            return text


def request(method, uri, call, cseq, more="", body="", branch=None, to=""):
    host = "127.0.0.8"
    return (f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{branch or call + str(cseq) + method}\r\n"
            f"From: <sip:1001@{host}>;tag=f{call}\r\nTo: <sip:1002@127.0.0.1>{to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n"
            f"Max-Forwards: 70\r\nContact: <sip:1001@{host}:5060>\r\n{more}"
            + (f"Content-Type: application/sdp\r\n" if body else "") + f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def answer(s, text, status, more="", body="", tag=";tag=callee"):
    head = [f"SIP/2.0 {status}"]
    head += [f"{n}: {v}" for n in ("Via", "From", "Call-ID", "CSeq") for v in lines(text, n)]
    to = lines(text, "To")[0]
    head += [f"To: {to}{'' if ';tag=' in to else tag}", "Contact: <sip:1002@192.0.2.9:5060>"]
    if body:
        head.append("Content-Type: application/sdp")
    s.sendto(("\r\n".join(head) + f"\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}").encode(), ASTERISK)


def register():
    text = request("REGISTER", "sip:127.0.0.1", "reg", 1, f"Supported: path\r\nPath: {PATH[0]}\r\nPath: {PATH[1]}\r\nExpires: 300\r\n")
    # The number 1002, at a contact that nobody can reach but along the Path.
    text = text.replace(b"<sip:1001@127.0.0.8>;", b"<sip:1002@127.0.0.1>;").replace(b"<sip:1001@127.0.0.8:5060>", b"<sip:1002@192.0.2.9:5060>")
    for _ in range(50):
        caller.sendto(text, ASTERISK)
        caller.settimeout(0.5)
        try:
            got = receive(caller, "SIP/2.0 ").split("\r\n")[0]
            assert got == "SIP/2.0 200 OK", got
            caller.settimeout(10)
            return
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.2)
    sys.exit("Asterisk does not answer")


def call(number, name, answered):
    seen = {}
    caller.sendto(request("INVITE", f"sip:{number}@127.0.0.1", name, 1, body=SDP), ASTERISK)
    invite = receive(proxy, "INVITE ")
    seen["INVITE"] = routes(invite)
    answer(proxy, invite, "180 Ringing")
    receive(caller, "SIP/2.0 180")
    if not answered:
        caller.sendto(request("CANCEL", f"sip:{number}@127.0.0.1", name, 1, branch=name + "1INVITE"), ASTERISK)
        cancel = receive(proxy, "CANCEL ")
        seen["CANCEL"] = routes(cancel)
        answer(proxy, cancel, "200 OK")
        answer(proxy, invite, "487 Request Terminated")
        refused = receive(caller, "SIP/2.0 487")
        to = re.search(";tag=.*", lines(refused, "To")[0])[0]
        caller.sendto(request("ACK", f"sip:{number}@127.0.0.1", name, 1, branch=name + "1INVITE", to=to), ASTERISK)
        return seen
    answer(proxy, invite, "200 OK", "".join(f"Record-Route: {r}\r\n" for r in RECORD), SDP)
    seen["ACK"] = routes(receive(proxy, "ACK "))
    taken = receive(caller, "SIP/2.0 200")
    to = re.search(";tag=.*", lines(taken, "To")[0])[0]
    caller.sendto(request("ACK", "sip:127.0.0.1:5060", name, 1, to=to), ASTERISK)
    caller.sendto(request("BYE", "sip:127.0.0.1:5060", name, 2, to=to), ASTERISK)
    bye = receive(proxy, "BYE ")
    seen["BYE"] = routes(bye)
    answer(proxy, bye, "200 OK")
    return seen


register()
good = True
for number, how, bye in (("1002", "Dial(PJSIP/1002)", "D1 D2 P1 P2"), ("2002", "PJSIP_DIAL_CONTACTS(1002)", "D1 D2")):
    seen = call(number, "c" + number, False)
    seen.update(call(number, "a" + number, True))
    expected = {"INVITE": "P1 P2", "CANCEL": "P1 P2 P1 P2", "ACK": "D1 D2", "BYE": bye}
    for method in expected:
        same = seen[method] == expected[method]
        good &= same
        print(f"{how:26} {method:7} {seen[method]:12} {'as written here' if same else 'CHANGED, was ' + expected[method]}")
sys.exit(0 if good else 1)
PYTHON

echo "== Asterisk and the phones, in a namespace with loopback alone"
export folder tree
unshare --net bash -c '
  ip link set lo up
  chroot "$tree" /usr/sbin/asterisk -f -n -C /finding/asterisk.conf >"$folder/asterisk.log" 2>&1 &
  asterisk=$!
  trap "kill -KILL $asterisk 2>/dev/null" EXIT
  python3 "$folder/phones.py"
' || { status=$?; tail -n 20 "$folder/asterisk.log" >&2; exit "$status"; }
