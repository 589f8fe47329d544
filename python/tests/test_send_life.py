"""Streams from their first heap to the end of the interpreter: exits, forks, signals, leaks."""

import os
import resource
import subprocess
import sys
import time

import pytest

PREAMBLE = """
import asyncio, errno, logging, os, signal, socket, sys, threading
import {name} as lib, {name}.send as send, {name}.send.asyncio as aio
sys.path.insert(0, {tests!r})
from sending import Value, endpoint, listener, read_all, udp_socket
def data_heap(size):
    heap = send.Heap()
    heap.add_item(Value(0x1000, bytes(size)))
    return heap
"""


def run(lib, code, timeout=60):
    """Runs a script in a process of its own."""
    preamble = PREAMBLE.format(name=lib.name, tests=os.path.dirname(__file__))
    command = [sys.executable, "-c", preamble + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def check(lib, code, output=""):
    done = run(lib, code)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_the_end_with_live_streams(lib):
    check(
        lib,
        """
pool = lib.ThreadPool(2)
there = [("127.0.0.1", 9)]
listening = listener()
streams = [
    send.UdpStream(pool, there),
    send.BytesStream(pool),
    send.InprocStream(pool, [lib.InprocQueue()]),
    send.TcpStream(pool, [endpoint(listening)]),
    aio.UdpStream(pool, there),
]
heap = data_heap(10000)
for stream in streams[:4]:
    stream.send_heap(heap)
references = send.HeapReferenceList([send.HeapReference(heap)])
""",
    )


def test_the_end_sends_what_is_queued(lib):
    """A stream that is slow, and nobody who waits for it."""
    check(
        lib,
        """
sink = udp_socket()
async def main():
    global stream
    config = send.StreamConfig(rate=2e5, burst_size=1, max_packet_size=1000)
    stream = aio.UdpStream(lib.ThreadPool(), [endpoint(sink)], config)
    stream.async_send_heap(data_heap(50_000))
    stream.async_send_heap(send.Heap())
def receive():
    while len(sink.recv(2000)) != 49:
        pass
    print("all", end="")
receiver = threading.Thread(target=receive)
receiver.start()
asyncio.run(main())
del stream
receiver.join()
""",
        output="all",
    )


STUCK = """
logging.disable()
listening = listener()
async def main():
    global stream, peer, kept
    stream = await aio.TcpStream.connect(lib.ThreadPool(), [endpoint(listening)])
    peer, _ = listening.accept()
    kept = stream.async_send_heap(data_heap(64 << 20))
"""


@pytest.mark.parametrize("last", ["asyncio.run(main())", "asyncio.run(main())\ndel stream"])
def test_the_end_with_a_stuck_peer(ours, last):
    """The reference waits for ever."""
    start = time.monotonic()
    check(ours, STUCK + last)
    assert time.monotonic() - start < 30


def test_control_c_while_the_end_waits(ours):
    """A signal ends the wait for a peer that takes little, but takes."""
    done = run(
        ours,
        STUCK
        + """
import atexit
asyncio.run(main())
ending = threading.Event()
atexit.register(ending.set)
# Signals come all the time, but none while Python reports the one before: it would cut the report.
def interrupt(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
def report(what):
    sys.__unraisablehook__(what)
    signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGINT, interrupt)
sys.unraisablehook = report
def trickle():
    ending.wait()
    while peer.recv(10_000):
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=trickle, daemon=True).start()
""",
    )
    assert done.returncode == 0
    assert "KeyboardInterrupt" in done.stderr


def test_a_fork_with_streams(ours):
    check(
        ours,
        """
pool = lib.ThreadPool()
stream = send.UdpStream(pool, [("127.0.0.1", 9)])
heap = data_heap(10_000)
stream.send_heap(heap)
child = os.fork()
if child == 0:
    try:
        stream.send_heap(heap)
    except RuntimeError as error:
        assert "fork" in str(error)
        other = send.UdpStream(lib.ThreadPool(), [("127.0.0.1", 9)])
        assert other.send_heap(heap) > 10_000
        del stream
        sys.exit(0)
    sys.exit(1)
assert os.waitpid(child, 0)[1] == 0
assert stream.send_heap(heap) > 10_000
""",
    )


def test_the_end_while_a_thread_sends(ours):
    check(
        ours,
        """
logging.disable()
listening = listener()
stream = send.TcpStream(lib.ThreadPool(), [endpoint(listening)])
peer, _ = listening.accept()
def send_until_aborted():
    try:
        stream.send_heap(data_heap(64 << 20))
    except OSError as error:
        assert error.errno == errno.ECANCELED
threading.Thread(target=send_until_aborted, daemon=True).start()
peer.recv(1)
""",
    )


def test_signal_handlers_run_while_a_heap_is_sent(lib):
    check(
        lib,
        """
listening = listener()
stream = send.TcpStream(lib.ThreadPool(), [endpoint(listening)])
peer, _ = listening.accept()
def handler(*_):
    threading.Thread(target=read_all, args=(peer,)).start()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1)
size = stream.send_heap(data_heap(32 << 20))
assert size > 32 << 20
del stream
""",
    )


def test_nothing_is_left_behind(ours):
    import asyncio

    from sending import Value

    async def cycle():
        pool = ours.ThreadPool()
        stream = ours.module("send.asyncio").UdpStream(pool, [("127.0.0.1", 9)])
        heap = ours.send.Heap()
        heap.add_item(Value(0x1000, bytearray(1 << 20)))
        futures = [stream.async_send_heap(heap) for _ in range(6)]
        await asyncio.gather(*futures, return_exceptions=True)
        mode = ours.send.GroupMode.SERIAL
        references = ours.send.HeapReferenceList([ours.send.HeapReference(heap)] * 2)
        ours.send.BytesStream(pool).send_heaps(references, mode)

    def used():
        return (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            len(os.listdir("/proc/self/fd")),
            len(os.listdir("/proc/self/task")),
        )

    for _ in range(10):
        asyncio.run(cycle())
    memory, files, threads = used()
    for _ in range(60):
        asyncio.run(cycle())
    more_memory, more_files, more_threads = used()
    assert more_memory - memory < 20_000  # KiB; each cycle uses 3 MiB
    assert (more_files, more_threads) == (files, threads)
