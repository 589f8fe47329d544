#!/usr/bin/env bash
# Captures the fixtures anew. See README.md beside this file.
#
# Needs root, tcpdump, editcap (Debian: wireshark-common), and the Python of `make venv`.
set -euo pipefail
cd "$(dirname "$0")"

python=${SPEADWAY_PEER_PYTHON:-$PWD/../../../.venv/bin/python}
packets=28 # 2 of descriptors, 8 heaps of 3, 2 of end-of-stream

# capture FILE INTERFACE LINK_TYPE HOST: one stream to ports 8888 and 8889 of HOST.
capture() {
    local file=$1 interface=$2 link_type=$3 host=$4 log
    log=$(mktemp)
    # -Z root: stay root, so that the file can be written here.
    tcpdump -Z root -i "$interface" -y "$link_type" -U -c "$packets" -w "$file" \
        'udp portrange 8888-8889' 2>"$log" &
    local tcpdump=$!
    until grep -q 'listening on' "$log"; do
        kill -0 "$tcpdump" || { cat "$log"; return 1; }
    done
    "$python" ../../peer/send.py "$host:8888" "$host:8889" \
        --heaps 8 --heap-size 4096 --packet 1472 --flavour 48 \
        --timestamp-step 4096 --fengs 2 --descriptors --rate 0.1
    wait "$tcpdump"
    rm "$log"
}

capture lo-2ports.pcap lo EN10MB 127.0.0.1
capture lo-2ports-ipv6.pcap lo EN10MB '[::1]'
capture any-2ports-sll.pcap any LINUX_SLL 127.0.0.1
capture any-2ports-sll2.pcap any LINUX_SLL2 127.0.0.1
editcap -F pcapng lo-2ports.pcap lo-2ports.pcapng
"$python" add_vlan.py --vlan 100 lo-2ports.pcap lo-2ports-vlan.pcap
