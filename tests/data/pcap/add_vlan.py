#!/usr/bin/env python3
"""Copy a pcap file of Ethernet frames, giving each frame an 802.1Q tag."""

import argparse
import struct

FILE_HEADER = struct.Struct("<IHHiIII")  # magic, version, zone, sigfigs, snaplen, link type
RECORD_HEADER = struct.Struct("<IIII")  # seconds, microseconds, bytes captured, bytes on the wire
MAGIC, ETHERNET, ETHERTYPE_VLAN = 0xA1B2C3D4, 1, 0x8100
ADDRESSES = 12  # bytes of the two MAC addresses, behind which the tag goes


def tagged(pcap, vlan):
    magic, *_, link_type = FILE_HEADER.unpack_from(pcap)
    if (magic, link_type) != (MAGIC, ETHERNET):
        raise SystemExit("not a little-endian microsecond pcap file of Ethernet frames")
    yield pcap[: FILE_HEADER.size]
    tag = struct.pack(">HH", ETHERTYPE_VLAN, vlan)
    pos = FILE_HEADER.size
    while pos < len(pcap):
        seconds, micros, captured, length = RECORD_HEADER.unpack_from(pcap, pos)
        pos += RECORD_HEADER.size
        frame = pcap[pos : pos + captured]
        pos += captured
        yield RECORD_HEADER.pack(seconds, micros, captured + len(tag), length + len(tag))
        yield frame[:ADDRESSES] + tag + frame[ADDRESSES:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--vlan", type=int, default=100, help="VLAN id (default %(default)s)")
    args = parser.parse_args()
    with open(args.input, "rb") as file:
        pcap = file.read()
    with open(args.output, "wb") as file:
        file.writelines(tagged(pcap, args.vlan))


if __name__ == "__main__":
    main()
