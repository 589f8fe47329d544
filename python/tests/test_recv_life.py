"""From the first import to the end of the interpreter: signals, forks, exits and leaks."""

import gc
import os
import subprocess
import sys
import threading

import packets
import pytest
from footprint import check_growth

PREAMBLE = """
import logging, os, signal, sys, threading, time
import {name} as lib, {name}.recv as recv
sys.path.insert(0, {tests!r})
import packets
"""


def run(lib, code, *, timeout=60):
    """Runs a script in a process of its own."""
    preamble = PREAMBLE.format(name=lib.name, tests=os.path.dirname(__file__))
    return subprocess.run(
        [sys.executable, "-c", preamble + code], capture_output=True, text=True, timeout=timeout
    )


def check(lib, code, output=""):
    done = run(lib, code)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_a_tcp_stream_that_accepts_no_packet_can_be_stopped(lib):
    check(
        lib,
        """
import socket
listener = socket.create_server(("127.0.0.1", 0))
stream = recv.Stream(lib.ThreadPool())
stream.add_tcp_reader(listener, 0)
with socket.create_connection(listener.getsockname()) as connection:
    connection.sendall(packets.packet(1, b"payload") * 10)
    while not stream.stats.batches:
        time.sleep(0.001)
    stream.stop()
""",
    )


def test_the_end_with_live_objects(lib):
    code = """
logging.disable()
pool = lib.ThreadPool(2)
streams = []
for explicit in [False, True]:
    for allocator in [lib.MemoryAllocator(), lib.MemoryPool(1, 9000, 4, 1)]:
        config = recv.StreamConfig(explicit_start=explicit, memory_allocator=allocator)
        stream = recv.Stream(pool, config)
        stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
        stream.add_tcp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
        stream.add_inproc_reader(lib.InprocQueue())
        stream.add_buffer_reader(packets.stream(20, 5000))
        streams.append(stream)
heap = streams[0].get()
items = heap.get_items()
"""
    check(lib, code)


def test_the_end_while_a_thread_waits(lib):
    check(
        lib,
        """
stream = recv.Stream(lib.ThreadPool())
started = threading.Event()
def wait():
    started.set()
    try:
        stream.get()
    except lib.Stopped:
        pass
threading.Thread(target=wait, daemon=True).start()
started.wait()
""",
    )


def test_the_end_in_a_cycle(lib):
    check(
        lib,
        """
class Mine(recv.Stream):
    pass
stream = Mine(lib.ThreadPool())
stream.self = stream
stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
del stream
""",
    )


def test_interrupts_while_waiting(lib):
    check(
        lib,
        """
stream = recv.Stream(lib.ThreadPool())
for wait in [stream.get, lambda: next(stream), lambda: list(stream)]:
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        wait()
    except KeyboardInterrupt:
        print("interrupted")
stream.add_buffer_reader(packets.stream(2))
print(len(list(stream)))
""",
        "interrupted\ninterrupted\ninterrupted\n2\n",
    )


def test_signal_handlers_that_do_nothing_do_not_end_the_wait(lib):
    check(
        lib,
        """
stream = recv.Stream(lib.ThreadPool())
handled = []
def handle(*_):
    handled.append(1)
    stream.add_buffer_reader(packets.stream(2))
signal.signal(signal.SIGUSR1, handle)
threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR1]).start()
print(stream.get().cnt, handled)
""",
        "1 [1]\n",
    )


FORK = """
stream = recv.Stream(lib.ThreadPool())
stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
child = os.fork()
if child == 0:
    {child}
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stream.stop()
"""


@pytest.mark.parametrize(
    "child",
    [
        "os._exit(7)",
        "stream.stop(); os._exit(7)",
        "new = recv.Stream(lib.ThreadPool()); new.add_buffer_reader(packets.stream(3)); "
        "os._exit(4 + len(list(new)))",
    ],
)
def test_forks(lib, child):
    check(lib, FORK.format(child=child), "7\n")


@pytest.mark.parametrize("child", ["del stream; os._exit(7)", "sys.exit(7)"])
def test_a_child_can_end(ours, child):
    # The reference's waits for threads that it has not.
    check(ours, FORK.format(child=child), "7\n")


def test_a_child_can_log(ours):
    code = """
import logging
import speadway._speadway as native
logging.basicConfig(level=logging.INFO, format="%(message)s")
native.log_info("parent")
child = os.fork()
if child == 0:
    native.log_info("child")
    sys.exit(0)
os.waitpid(child, 0)
native.log_info("parent again")
"""
    done = run(ours, code)
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines()) == ["child", "parent", "parent again"]


def test_a_childs_streams_need_a_pool_of_its_own(ours):
    code = """
pool = lib.ThreadPool()
child = os.fork()
if child == 0:
    try:
        recv.Stream(pool)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert "make one after the fork" in run(ours, code).stdout


def test_streams_leave_nothing_behind(ours):
    lib, data = ours, packets.stream(10, 20000)

    def cycle(number):
        pool = lib.MemoryPool(4096, 40000, 4, 1)
        config = lib.recv.StreamConfig(memory_allocator=pool)
        stream = lib.recv.Stream(lib.ThreadPool(), config)
        stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
        stream.fd  # noqa: B018
        stream.add_buffer_reader(data)
        if number % 3 == 0:
            stream.get()
            stream.stop()
        elif number % 3 == 1:
            heaps = list(stream)
            assert len(heaps) == 10
            assert bytes(heaps[3].get_items()[0]) == packets.values(3, 20000).tobytes()
        # Else the last reference goes while the stream is in the middle of it.

    # 300 streams of 200 kB each: a leak of one heap a cycle would be 6 MB.
    check_growth(cycle, bytes=3_000_000)


def test_objects_leave_nothing_behind(ours):
    stream = ours.recv.Stream(ours.ThreadPool())
    stream.add_buffer_reader(packets.stream(1, 1000))
    heap = stream.get()

    def cycle(_number):
        for item in heap.get_items():
            memoryview(item)
        heap.get_descriptors()
        stream.stats + stream.stats  # noqa: B018
        stream.config.memory_allocator  # noqa: B018
        stream.counters  # noqa: B018
        ours.recv.StreamConfig(max_heaps=3).add_stat("x")

    check_growth(cycle, bytes=1_000_000, warm_up=2000, cycles=10000)


def test_the_worker_does_not_need_the_gil(lib):
    """A stream receives while a Python thread keeps the GIL for as long as it is given it."""
    stream = lib.recv.Stream(lib.ThreadPool(), ring_config=lib.recv.RingStreamConfig(heaps=100))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # nobody who asks for the GIL gets it
    try:
        stream.add_buffer_reader(packets.stream(100, 5000))
        for _ in range(10**9):
            if stream.ringbuffer.size() == 100:
                break
    finally:
        sys.setswitchinterval(interval)
    assert len(list(stream)) == 100


def test_streams_may_be_used_from_many_threads(lib):
    """Everything at once: no deadlock, no crash."""
    streams = [lib.recv.Stream(lib.ThreadPool()) for _ in range(4)]
    data = packets.stream(50, 3000)

    def use(number):
        stream = streams[number % 4]
        stream.add_buffer_reader(data)
        for _ in range(20):
            stream.stats
            stream.config
            stream.ringbuffer.size()
        if number >= 8:
            stream.stop()
        list(stream)

    workers = [threading.Thread(target=use, args=(number,)) for number in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()
