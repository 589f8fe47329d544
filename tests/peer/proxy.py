#!/usr/bin/env python3
"""Pass UDP datagrams on, but for some that get lost, come twice, or come late.

    proxy.py FROM-PORT TO-HOST TO-PORT SEED LOSS REPEAT LATE

LOSS, REPEAT and LATE are shares from 0 to 1; a late datagram lets up to eight others pass. Prints a
line once it listens, and at the end, which is a datagram without a byte, as JSON what it did.
"""

import json
import random
import socket
import sys


def main(port, host, to_port, seed, loss, repeat, late):
    chance = random.Random(int(seed))
    source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    source.bind(("127.0.0.1", int(port)))
    target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    target.connect((host, int(to_port)))
    print("listening", flush=True)
    counts = {"received": 0, "lost": 0, "repeated": 0, "late": 0, "sent": 0}
    waiting = []  # (how many others are to pass, datagram)

    def send(datagram):
        target.send(datagram)
        counts["sent"] += 1

    while datagram := source.recv(65536):
        counts["received"] += 1
        if chance.random() < float(loss):
            counts["lost"] += 1
            continue
        if chance.random() < float(repeat):
            counts["repeated"] += 1
            send(datagram)
        if chance.random() < float(late):
            counts["late"] += 1
            waiting.append([chance.randrange(1, 9), datagram])
            continue
        send(datagram)
        for entry in waiting:
            entry[0] -= 1
        for entry in [entry for entry in waiting if entry[0] == 0]:
            waiting.remove(entry)
            send(entry[1])
    for _, datagram in waiting:
        send(datagram)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
