#!/usr/bin/env python3
"""Makes the seeds of the fuzz corpora from the test data: real packets, and the golden vectors.

    fuzz/make_corpus.py

What a fuzzer adds to it stays out of the repository, but for files that a test is to replay.
"""

import random
import struct
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
DATA = ROOT / "tests" / "data"


def save(target, name, data):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)


def golden(file, keyword):
    """The byte strings of a golden file's lines, one list a line."""
    for line in (DATA / "wire" / file).read_text().splitlines():
        words = line.split()
        if words and words[0] == keyword:
            yield words[1:]


def captured():
    """The frames of a capture of two streams on loopback."""
    data = (DATA / "pcap" / "lo-2ports.pcap").read_bytes()
    header, at = data[:24], 24
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        yield header, data[at : at + 16 + size]
        at += 16 + size


def pieces(packets):
    return b"".join(struct.pack(">H", len(p)) + p for p in packets)


def main():
    frames = list(captured())
    # Ethernet, IPv4 and UDP headers come before the packet.
    packets = [record[16 + 14 + 20 + 8 :] for _, record in frames]
    small = sorted(packets, key=len)[:3] + packets[2:5]
    for at, packet in enumerate(small):
        save("packet", f"captured-{at}", packet)
    for keyword in ("accept", "reject"):
        vectors = [bytes.fromhex(words[0]) for words in golden("decode.txt", keyword)]
        for at, vector in enumerate(vectors[:: len(vectors) // 6][:6]):
            save("packet", f"{keyword}-{at}", vector)
    accepted = [bytes.fromhex(words[0]) for words in golden("decode.txt", "accept")]
    save("heaps", "captured", b"\x0f\xff" + pieces(packets[:6]))
    save("heaps", "golden", b"\x00\x07" + pieces(accepted[:30]))
    save("heaps", "unordered", b"\x30\x1f" + pieces(reversed(packets[:6])))
    values = [words for words in golden("descriptors.txt", "value")]
    for at, words in enumerate(values[:: len(values) // 8][:8]):
        compat, value = int(words[0]), bytes.fromhex(words[1].strip("-"))
        save("descriptors", f"golden-{at}", bytes([compat, 0, 8]) + bytes(8) + value)
    save("framing", "captured", b"\xff\x00\x11\x80" + b"".join(packets[:4]))
    save("framing", "lost", b"\x10\x03\x07\xff" + packets[0] + bytes(13) + packets[1][:40])
    for header, record in frames[:1]:
        save("capture", "lo.pcap", header + record + frames[1][1])
    for name in ("any-2ports-sll2.pcap", "lo-2ports.pcapng", "lo-2ports-vlan.pcap"):
        save("capture", name, (DATA / "pcap" / name).read_bytes()[:2500])
    chance = random.Random(1)
    for target, count, size in (("placement", 4, 200), ("layouts", 4, 120), ("world", 8, 600)):
        for at in range(count):
            # Small numbers are the sensible ones.
            data = bytes(chance.choice((chance.randrange(12), chance.randrange(256))) for _ in range(size))
            save(target, f"random-{at}", data)


if __name__ == "__main__":
    main()
