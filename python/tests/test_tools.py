"""The command-line tools, as processes, alone and with spead2's; and their options."""

import argparse
import asyncio
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

PCAP = pathlib.Path(__file__).parents[2] / "tests/data/pcap/lo-2ports.pcap"
MODULES = {"recv": "recv_asyncio", "send": "send_asyncio", "bench": "bench_asyncio"}
PATIENCE_S = 30


def command(library, tool):
    return [sys.executable, "-c", f"import sys; from {library}.tools import {MODULES[tool]} as tool;"
            "sys.exit(tool.main())"]  # fmt: skip


def start(library, tool, *arguments):
    return subprocess.Popen(
        [*command(library, tool), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(library, tool, *arguments):
    process = start(library, tool, *arguments)
    return finish(process)


def finish(process):
    """Exit code and lines of output."""
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert "Traceback" not in errors, errors
    return process.returncode, output.splitlines()


def free_ports(count, kind=socket.SOCK_DGRAM):
    sockets = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for_port(port, protocol, process):
    """Until something is bound to a port, which /proc tells."""
    end = time.monotonic() + PATIENCE_S
    wanted = f":{port:04X}"
    while True:
        for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
            lines = pathlib.Path(table).read_text().splitlines()[1:]
            if any(line.split()[1].endswith(wanted) for line in lines):
                return
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end, f"nothing is bound to {port}"
        time.sleep(0.01)


PAIRS = [("speadway", "speadway"), ("speadway", "spead2"), ("spead2", "speadway")]
OPTIONS = [[], ["--tcp"], ["--pyspead", "--addr-bits", "48"], ["--descriptors", "2"]]


@pytest.mark.skipif(not pathlib.Path("/proc/net/udp").exists(), reason="needs /proc/net")
@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_what_one_sends_the_other_receives(sender, receiver, options):
    tcp = "--tcp" in options
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    [port] = free_ports(1, kind)
    both = [option for option in options if option in ("--tcp", "--pyspead")]
    source = f"127.0.0.1:{port}"
    process = start(receiver, "recv", "--values", "--descriptors", *both, source)
    wait_for_port(port, "tcp" if tcp else "udp", process)
    data = ["--heaps", 4, "--items", 2, "--heap-size", 16, "--dtype", ">u4"]
    code, sent = run(sender, "send", *data, *options, source)
    assert code == 0 and sent[-1].startswith("Sent ")
    code, received = finish(process)
    assert code == 0
    values = ["Test item 0 = [0 0]", "Test item 1 = [0 0]"]
    lines = [line for line in received if not line.startswith("  ")]
    heaps = [[f"Received heap {number} on stream {source}", *values] for number in range(1, 5)]
    assert lines[:12] == sum(heaps, [])
    assert lines[12:14] == [f"Shutting down stream {source} after 4 heaps", "heaps: 4"]
    described = [line for line in received if line.startswith("    Descriptor for")]
    once = ["    Descriptor for Test item 0 (0x1000)", "    Descriptor for Test item 1 (0x1001)"]
    assert described == once * (2 if "--descriptors" in options else 1)
    assert received[received.index(once[0]) + 1 :][:4] == [
        "      description: A test item with arbitrary value",
        "      format:      None",
        "      dtype:       >u4",
        "      shape:       (2,)",
    ]


@pytest.mark.skipif(not pathlib.Path("/proc/net/udp").exists(), reason="needs /proc/net")
@pytest.mark.parametrize(("sender", "receiver"), PAIRS)
def test_several_destinations(sender, receiver):
    ports = free_ports(2)
    process = start(receiver, "recv", *ports)
    for port in ports:
        wait_for_port(port, "udp", process)
    endpoints = [f"127.0.0.1:{port}" for port in ports]
    assert run(sender, "send", "--heaps", 5, "--heap-size", 16, *endpoints)[0] == 0
    code, received = finish(process)
    assert code == 0
    for port, heaps in zip(ports, ([1, 3, 5], [2, 4]), strict=True):
        shown = [line for line in received if line.endswith(f"on stream {port}")]
        assert shown == [f"Received heap {heap} on stream {port}" for heap in heaps]


@pytest.mark.skipif(not pathlib.Path("/proc/net/udp").exists(), reason="needs /proc/net")
def test_a_receiver_stops_when_interrupted():
    [port] = free_ports(1)
    process = start("speadway", "recv", "--joint", port)
    wait_for_port(port, "udp", process)
    process.send_signal(signal.SIGINT)
    code, received = finish(process)
    assert (code, received[0]) == (0, f"Shutting down stream {port} after 0 heaps")


@pytest.mark.parametrize("arguments", [[], ["--mem-pool", "--memcpy-nt"], ["--max-heaps", "3"]])
def test_captures_are_read_alike(arguments):
    def heaps(library):
        code, output = run(library, "recv", "--values", *arguments, PCAP)
        assert code == 0
        heaps = {}
        for line in output:
            if line.startswith("Received"):
                heaps[line] = heap = set()
            elif line.startswith("Shutting down"):
                return heaps, line
            else:
                heap.add(line)  # items of equal place or value have no order
        return heaps, None

    assert heaps("speadway") == heaps("spead2")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("recv", ["no-such-file"]),
        ("recv", ["--concurrent-heaps", "0", "9999"]),
        ("send", ["--heap-size", "3", "--heaps", "1", "127.0.0.1:9999"]),
        ("send", ["--tcp", "--heaps", "1", "127.0.0.1:1"]),
        ("send", ["--heaps", "1", "127.0.0.1:port"]),
        ("bench", ["master", "127.0.0.1:1"]),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tool, arguments):
    process = start("speadway", tool, *arguments)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert errors.startswith("ERROR:speadway:") and errors.count("\n") == 1


@pytest.mark.parametrize("tool", ["recv", "send", "bench"])
def test_wrong_usage(tool):
    process = start("speadway", tool, "--no-such-option")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2 and "usage:" in errors


def options_of(parser):
    """What is there to say, without the options that need hardware."""
    text = parser.format_help()
    return sorted(word for word in text.split() if word.startswith("--") and "ibv" not in word)


def parse(lib, line, name_map=None, side="ReceiverOptions"):
    cmdline = lib.module("tools.cmdline")
    for submodule in ("recv.asyncio", "send.asyncio"):
        lib.module(submodule)
    parser = argparse.ArgumentParser()
    protocol = cmdline.ProtocolOptions(name_map=name_map)
    options = getattr(cmdline, side)(protocol, name_map=name_map)
    protocol.add_arguments(parser)
    options.add_arguments(parser)
    args = parser.parse_args(line.split())
    protocol.notify(parser, args)
    options.notify(parser, args)
    return parser, protocol, options


@pytest.mark.parametrize(
    ("endpoint", "parsed"),
    [("host:5", ("host", 5)), ("5", ("", 5)), (":5", ("", 5)), ("[::1]:5", ("[::1]", 5)),
     ("::1:5", ("::1", 5)), ("host:99999", ("host", 99999))],
)  # fmt: skip
def test_endpoints(lib, endpoint, parsed):
    assert lib.module("tools.cmdline").parse_endpoint(endpoint) == parsed


@pytest.mark.parametrize("endpoint", ["host:", "a:b", ""])
def test_what_is_no_endpoint(lib, endpoint):
    with pytest.raises(ValueError):
        lib.module("tools.cmdline").parse_endpoint(endpoint)


def test_the_defaults_of_a_receiver(lib):
    parser, protocol, options = parse(lib, "")
    assert (protocol.tcp, protocol.pyspead) == (False, False)
    assert (options.buffer, options.packet, options.bind) == (8388608, 9200, None)
    assert (options.threads, options.affinity, options.mem_pool) == (1, None, False)
    config = options.make_stream_config()
    assert (config.max_heaps, config.substreams, config.memcpy, config.bug_compat) == (4, 1, 0, 0)
    assert options.make_ring_stream_config().heaps == 4
    assert type(options.make_thread_pool()) is lib.ThreadPool


def test_a_receiver_gets_what_it_was_told(lib):
    line = ("--tcp --pyspead --affinity 0 --threads 2 --packet 100 --mem-pool --mem-lower 10"
            " --mem-upper 20 --mem-max-free 3 --mem-initial 2 --concurrent-heaps 7 --memcpy-nt"
            " --substreams 3 --ring-heaps 9 --bind 127.0.0.1")  # fmt: skip
    _, protocol, options = parse(lib, line)
    assert (protocol.tcp, options.buffer, options.packet) == (True, 212992, 100)
    assert (options.affinity, options.threads, options.bind) == ([0], 2, "127.0.0.1")
    config = options.make_stream_config()
    assert (config.max_heaps, config.substreams, config.memcpy, config.bug_compat) == (7, 3, 1, 7)
    assert type(config.memory_allocator) is lib.MemoryPool
    assert options.make_ring_stream_config().heaps == 9


def test_the_defaults_of_a_sender(lib):
    _, _, options = parse(lib, "", side="SenderOptions")
    config = options.make_stream_config()
    assert (config.max_packet_size, config.rate, config.burst_size) == (1472, 0, 65536)
    assert (config.max_heaps, config.burst_rate_ratio) == (4, 1.05)
    assert config.rate_method == lib.send.RateMethod.AUTO
    assert (options.buffer, options.ttl, options.rate) == (524288, None, 0)
    assert options.make_flavour() == lib.Flavour()


def test_a_sender_gets_what_it_was_told(lib):
    line = ("--rate 2 --pyspead --addr-bits 48 --rate-method SW --burst 1000 --packet 2000"
            " --max-heaps 9 --burst-rate-ratio 1.5 --ttl 3 --tcp")  # fmt: skip
    _, _, options = parse(lib, line, side="SenderOptions")
    config = options.make_stream_config()
    assert (config.max_packet_size, config.rate, config.burst_size) == (2000, 0.25e9, 1000)
    assert (config.max_heaps, config.burst_rate_ratio) == (9, 1.5)
    assert config.rate_method == lib.send.RateMethod.SW
    assert (options.ttl, options.buffer) == (3, 212992)
    assert options.make_flavour() == lib.Flavour(4, 64, 48, 7)


def test_options_can_have_other_names_or_none(lib):
    name_map = {"tcp": None, "bind": "recv_bind", "affinity": "recv-affinity", "mem_pool": None}
    parser, protocol, options = parse(lib, "--recv-bind x --recv-affinity 1,2", name_map)
    assert (options.bind, options.affinity, options.mem_pool) == ("x", [1, 2], False)
    shown = options_of(parser)
    assert "--recv-bind" in shown
    assert not {"--bind", "--tcp", "--affinity", "--mem-pool"} & set(shown)
    assert protocol.tcp is False


@pytest.mark.parametrize("side", ["ReceiverOptions", "SenderOptions"])
@pytest.mark.parametrize("line", ["--rate-method x", "--affinity x", "--packet x", "--threads 1.5"])
def test_wrong_options(lib, side, line):
    with pytest.raises(SystemExit):
        parse(lib, line, side=side)


def test_the_options_are_the_same():
    for tool in ("recv", "send"):
        def shown(library):
            output = run(library, tool, "--help")[1]
            return {word.strip("[]") for line in output for word in line.split() if "--" in word}

        assert {word for word in shown("spead2") if "ibv" not in word} == shown("speadway")


async def ask_agent(port, heap_size, heaps):
    """What a master does, with a few heaps."""
    import speadway
    import speadway.send
    from speadway.send.asyncio import UdpStream

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    receiver = {"buffer": 1 << 20, "packet": 9200, "mem_pool": True, "mem_lower": heap_size,
                "mem_upper": heap_size + 1024, "mem_max_free": 2, "mem_initial": 1, "bind": None,
                "threads": 1, "affinity": None, "memcpy_nt": False, "concurrent_heaps": 4,
                "substreams": 1, "ring_heaps": 4, "ibv": False, "ibv_vector": 0,
                "ibv_max_poll": 10}  # fmt: skip
    args = {"endpoint": f"127.0.0.1:{port}", "multicast": None, "rate_method": "AUTO",
            "heap_size": heap_size}  # fmt: skip
    protocol = {"tcp": False, "pyspead": False}
    wish = {"cmd": "start", "args": args, "protocol": protocol, "receiver": receiver}
    writer.write(json.dumps(wish).encode() + b"\n")
    assert await reader.readline() == b"ready\n"
    group = speadway.send.ItemGroup()
    group.add_item(0x1000, "data", "", (heap_size,), "u1", value=np.zeros(heap_size, "u1"))
    stream = UdpStream(speadway.ThreadPool(), [("127.0.0.1", port)])
    for _ in range(heaps):
        await stream.async_send_heap(group.get_heap(data="all"))
    await stream.async_send_heap(group.get_end())
    # The stream ends with that heap, so the agent's count is ready when it is asked for.
    writer.write(b'{"cmd": "stop"}\n')
    answer = json.loads(await reader.readline())
    writer.close()
    return answer


@pytest.mark.skipif(not pathlib.Path("/proc/net/tcp").exists(), reason="needs /proc/net")
@pytest.mark.parametrize("library", ["spead2", "speadway"])
def test_agents_count_heaps(library):
    [port] = free_ports(1, socket.SOCK_STREAM)
    process = start(library, "bench", "agent", port)
    try:
        wait_for_port(port, "tcp", process)
        answer = asyncio.run(ask_agent(port, 1000, heaps=3))
        assert set(answer) == {"received_heaps"} and 0 <= answer["received_heaps"] <= 3
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not pathlib.Path("/proc/net/tcp").exists(), reason="needs /proc/net")
@pytest.mark.parametrize("library", ["spead2", "speadway"])
def test_a_master_measures_with_either_agent(library):
    [port] = free_ports(1, socket.SOCK_STREAM)
    agent = start(library, "bench", "agent", port)
    # Little enough for any socket's buffer, so that nothing is lost.
    program = "from speadway.tools import bench_asyncio as b; b._MIN_BYTES = 10**5; b._PASSES = 1; b.main()"
    try:
        wait_for_port(port, "tcp", agent)
        master = subprocess.run(
            [sys.executable, "-c", program, "master", "--heap-size=16384", f"127.0.0.1:{port}"],
            capture_output=True, text=True, timeout=2 * PATIENCE_S,
        )  # fmt: skip
    finally:
        agent.kill()
        agent.communicate()
    assert master.stderr == ""
    first, *_, last = master.stdout.splitlines()
    assert first.startswith("Send rate: ") and last.startswith("Sustainable rate: ")
