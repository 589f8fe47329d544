#!/usr/bin/env python3
"""A sender and a receiver of heaps in one event loop: items come with their names and types.

The sender describes its items in its first heap; the receiver needs to know nothing but the port.
"""

import asyncio
import socket

import numpy as np
import speadway
import speadway.recv.asyncio
import speadway.send
import speadway.send.asyncio

HEAPS, CHANNELS = 5, 1024


async def receive(stream: speadway.recv.asyncio.Stream) -> None:
    """Show what comes."""
    items = speadway.ItemGroup()
    async for heap in stream:
        updated = items.update(heap)
        if "spectrum" in updated:
            spectrum = items["spectrum"].value
            peak = np.argmax(spectrum)
            print(f"heap {heap.cnt}: {len(spectrum)} channels, the strongest is {peak}")
    print(f"{stream.stats.heaps} heaps in {stream.stats.packets - 1} packets")


async def send(port: int) -> None:
    """Send a peak that moves, twenty spectra a second."""
    config = speadway.send.StreamConfig(max_packet_size=8972, rate=10e6)
    endpoints = [("127.0.0.1", port)]
    stream = speadway.send.asyncio.UdpStream(speadway.ThreadPool(), endpoints, config)
    items = speadway.send.ItemGroup()
    items.add_item(0x1600, "timestamp", "in spectra", (), format=[("u", 40)])
    items.add_item(0x3300, "spectrum", "power of each channel", (CHANNELS,), "<f4")
    for number in range(HEAPS):
        spectrum = np.zeros(CHANNELS, "<f4")
        spectrum[100 * number] = 1
        items["timestamp"].value = number
        items["spectrum"].value = spectrum
        await stream.async_send_heap(items.get_heap())
        await asyncio.sleep(0.05)
    await stream.async_send_heap(items.get_end())


async def main() -> None:
    # A socket of one's own, so that the system chooses the port. For a fixed one it is
    # stream.add_udp_reader(7148), or stream.add_udp_reader("239.1.2.3", 7148) for multicast.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        stream = speadway.recv.asyncio.Stream(speadway.ThreadPool())
        stream.add_udp_reader(receiver)
        port = receiver.getsockname()[1]
    await asyncio.gather(receive(stream), send(port))


if __name__ == "__main__":
    asyncio.run(main())
