#!/usr/bin/env bash
# Finding: the weights of Kamailio's dispatcher (algorithm 9) fill 100 slots; they are no shares of their sum.
#
# Kamailio 5.6.3 (Debian 12). Weights in the order of the list, and what each destination got of 300 calls:
#   1 1 2        291 3 6       below 100 the rest goes to the entry written first
#   30 20        240 60
#   100 50       150 150       above 100 the entry written first gets what the others leave
#   50 50 50     0 150 150
#   60 60 60     0 120 180     .. which may be nothing
#   50 0         0 300         weight=0 in the last line takes every call
#   0 50         150 150       .. in the first line only the rest
#   50 0 50      150 0 150     .. and elsewhere none
# Expected by most who write such a list, and by the documentation's word "weight": shares of the sum.
#
# No sipedge takes part: Kamailio from Debian's package, unpacked into a temporary folder, and a Python script that sends 300
# INVITEs on loopback, each answered with the destination that was chosen (its warnings "no r-uri or branches" are the 302's). On Debian 12; seconds. Not run by CI.
# Ends with 0 when it behaves as written here, with 1 when it does not any more.
set -euo pipefail

version="5.6.3-2"
folder=$(mktemp -d /tmp/finding-kamailio.XXXXXX)
kamailio=""
end() {
  [ -z "$kamailio" ] || kill -KILL -- "-$kamailio" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT
chmod 755 "$folder"
cd "$folder"
echo "== Kamailio $version from Debian, in $folder"
apt-get download -q "kamailio=$version" >log 2>&1 || { tail -n 3 log >&2; echo "that version is not to be had" >&2; exit 2; }
dpkg-deb -x kamailio_*.deb tree

cat >kamailio.cfg <<'CFG'
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:15060
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "textops.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "list_file", LIST)
request_route {
	if (!ds_select_dst("1", "9")) {
		sl_send_reply("404", "No destination");
		exit;
	}
	append_to_reply("Contact: <$du>\r\n");
	sl_send_reply("302", "Chosen");
	exit;
}
CFG
cat >calls.py <<'PYTHON'
import collections, re, socket, sys, time

weights, expected = sys.argv[1].split(), sys.argv[2].split()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
s.connect(("127.0.0.1", 15060))
s.settimeout(1)


def call(number):
    here = "%s:%d" % s.getsockname()
    s.send((f"INVITE sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{number}\r\nFrom: <sip:a@127.0.0.1>;tag=a\r\n"
            f"To: <sip:x@127.0.0.1>\r\nCall-ID: {number}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@{here}>\r\n"
            "Content-Length: 0\r\n\r\n").encode())
    while True:
        text = s.recv(65535).decode()
        if f"Call-ID: {number}\r\n" in text:
            return re.search(r"Contact: <sip:127\.0\.0\.(\d+)", text).group(1)


for _ in range(50):
    try:
        call("probe")
        break
    except (TimeoutError, ConnectionRefusedError):
        time.sleep(0.1)
# The slots are walked in a circle: 300 calls go round three times.
got = collections.Counter(call(n) for n in range(300))
seen = [str(got[str(host + 11)]) for host in range(len(weights))]
same = seen == expected
print(f"weights {' '.join(weights):10} calls {' '.join(seen):14} {'as written here' if same else 'CHANGED, was ' + ' '.join(expected)}")
sys.exit(0 if same else 1)
PYTHON

good=0
try() {
  local host=11 weight
  : >list
  for weight in $1; do
    echo "1 sip:127.0.0.$host:5060 0 0 weight=$weight" >>list
    host=$((host + 1))
  done
  mkdir -p run
  setsid tree/usr/sbin/kamailio -f kamailio.cfg -L tree/usr/lib/x86_64-linux-gnu/kamailio/modules -DD -E -Y "$folder/run" \
    -A "LIST=\"$folder/list\"" >kamailio.log 2>&1 &
  kamailio=$!
  python3 calls.py "$1" "$2" || { good=1; tail -n 5 kamailio.log >&2; }
  kill -KILL -- "-$kamailio" 2>/dev/null || true
  wait "$kamailio" 2>/dev/null || true
  kamailio=""
}
try "1 1 2" "291 3 6"
try "30 20" "240 60"
try "100 50" "150 150"
try "50 50 50" "0 150 150"
try "60 60 60" "0 120 180"
try "50 0" "0 300"
try "0 50" "150 150"
try "50 0 50" "150 0 150"
exit "$good"
