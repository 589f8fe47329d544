"""What is logged, and how."""

import contextlib
import logging
import subprocess
import sys
import threading

import packets
from waiting import eventually


def messages(caplog, lib):
    return [record.getMessage() for record in caplog.records if record.name == lib.name]


def native(lib):
    return lib.module("_" + lib.name)


def test_records_go_to_the_logger_of_the_package(lib, caplog):
    with caplog.at_level(logging.INFO):
        native(lib).log_info("100% of it")
        eventually(lambda: messages(caplog, lib), timeout=10)
    [record] = [record for record in caplog.records if record.name == lib.name]
    assert (record.getMessage(), record.levelno) == ("100% of it", logging.INFO)


def test_levels_are_those_of_the_logger(lib, caplog):
    native(lib).log_info("not to be seen")
    with caplog.at_level(logging.WARNING):
        stream = lib.recv.Stream(lib.ThreadPool())
        stream.add_buffer_reader(packets.packet(3, b"abcd", length=8))
        assert list(stream) == []
        eventually(lambda: messages(caplog, lib), timeout=10)
    assert messages(caplog, lib) == ["dropped incomplete heap 3 (4/8 bytes of payload)"]
    assert caplog.records[-1].levelno == logging.WARNING


def test_a_full_ring_is_a_warning_where_packets_are_lost(lib, caplog):
    stream = lib.recv.Stream(lib.ThreadPool(), ring_config=lib.recv.RingStreamConfig(heaps=1))
    stream.add_udp_reader(0, bind_hostname="127.0.0.1", buffer_size=0)
    queue = lib.InprocQueue()
    stream.add_inproc_reader(queue)
    with caplog.at_level(logging.WARNING):
        for packet in packets.encode(packets.heaps(3)):
            queue.add_packet(packet)
        eventually(lambda: messages(caplog, lib), timeout=10)
        assert messages(caplog, lib) == ["worker thread blocked by full ringbuffer on heap 2"]


def test_a_full_ring_is_no_warning_where_nothing_is_lost(lib, caplog):
    stream = lib.recv.Stream(lib.ThreadPool(), ring_config=lib.recv.RingStreamConfig(heaps=1))
    with caplog.at_level(logging.WARNING):
        stream.add_buffer_reader(packets.stream(5))
        eventually(lambda: stream.stats.worker_blocked, timeout=10)
        assert len(list(stream)) == 5
        native(lib).log_info("later")
    assert messages(caplog, lib) == []


class Blocking(logging.Handler):
    """Holds up whoever logs, until it is released."""

    def __init__(self):
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()
        self.messages = []

    def emit(self, record):
        self.entered.set()
        self.released.wait(20)
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def handling(lib, *, released):
    """A handler of the library's logger."""
    logger, handler = logging.getLogger(lib.name), Blocking()
    if released:
        handler.released.set()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        handler.released.set()
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_nobody_waits_for_a_slow_handler(lib):
    overflow = "Log ringbuffer was full - some log messages were dropped"
    with handling(lib, released=False) as handler:
        native(lib).log_info("first")
        assert handler.entered.wait(10)
        for number in range(3000):
            native(lib).log_info(str(number))
        stream = lib.recv.Stream(lib.ThreadPool())
        stream.add_buffer_reader(packets.stream(20))
        assert len(list(stream)) == 20
        handler.released.set()
        eventually(lambda: overflow in handler.messages and "1000" in handler.messages, timeout=10)
    assert handler.messages.count(overflow) == 1
    assert handler.messages[0] == "first"
    assert 1000 < len(handler.messages) < 1200


def test_a_flood_is_held_back(ours):
    data = b"".join(packets.packet(cnt, b"abcd", length=8) for cnt in range(5000))
    with handling(ours, released=True) as handler:
        stream = ours.recv.Stream(ours.ThreadPool())
        stream.add_buffer_reader(data)
        assert list(stream) == []
        stream.stop()
        assert stream.stats.heaps == 5000
        native(ours).log_info("the end")
        eventually(lambda: "the end" in handler.messages, timeout=10)
    dropped = [message for message in handler.messages if message.startswith("dropped incomplete")]
    assert 100 <= len(dropped) <= 1000  # a hundred a second


def test_what_is_logged_last_is_seen(lib):
    code = f"""
import logging, {lib.name}, {lib.name}._{lib.name} as native
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
native.log_info("goodbye")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == f"INFO {lib.name} goodbye\n"
