"""Starts and stops the brokers that are measured, each with ports and folders of its own.

Owns processes and temporary folders and leaves none behind; never measures.
"""

import contextlib
import glob
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
# Of a broker that does not start.
LOG_LINES = 5
QUIET_TIMEOUT_S = 15
# A broker whose processes use less than this share of a core has finished starting.
QUIET_SHARE = 0.05
QUIET_WINDOW_S = 0.5
# Below the usual range of ports for outgoing connections.
PORTS = range(20_000, 32_000)
RABBITMQ_SCRIPTS = "/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server"


class BrokerError(Exception):
    """A broker that does not start, with what it said."""


class Running:
    """A started broker: where it listens and which process it is."""

    def __init__(self, uri, pid):
        self.uri = uri
        self.pid = pid


class Leveret:
    """This project's broker, from its release binary."""

    name = "leveret"

    def __init__(self, binary):
        self.binary = binary

    def version(self):
        answer = subprocess.run([self.binary, "--version"], capture_output=True, text=True)
        return answer.stdout.strip() or "unknown"

    @contextlib.contextmanager
    def start(self):
        with temporary_folder() as folder:
            command = [self.binary, "serve", "--data-dir", os.path.join(folder, "data")]
            command += ["--amqp-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
            log = os.path.join(folder, "stderr")
            with open(log, "wb") as stderr:
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
                )
            try:
                address = announced_address(process, log)
                wait_until_quiet(process.pid)
                yield Running(f"amqp://guest:guest@{address}/%2F", process.pid)
            finally:
                stop(process, process.pid)


class RabbitMQ:
    """The installed RabbitMQ, as a node of its own, without plugins."""

    name = "rabbitmq"

    def __init__(self, script):
        self.script = script

    def version(self):
        return os.path.basename(os.path.dirname(os.path.dirname(self.script)))

    @contextlib.contextmanager
    def start(self):
        with temporary_folder() as folder:
            port, distribution, epmd = free_ports(3)
            environment = rabbitmq_environment(folder, port, distribution, epmd)
            log = os.path.join(folder, "stdout")
            with open(log, "wb") as output:
                process = subprocess.Popen(
                    [self.script],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            pid = None
            try:
                wait_for_port(process, port, log)
                pid = int(read_text(environment["RABBITMQ_PID_FILE"]))
                wait_until_quiet(pid)
                yield Running(f"amqp://guest:guest@127.0.0.1:{port}/%2F", pid)
            finally:
                stop(process, pid)
                stop_port_mapper(epmd)


def find_rabbitmq():
    """The installed RabbitMQ; installs Debian's package when root may; None without."""
    if not glob.glob(RABBITMQ_SCRIPTS) and os.geteuid() == 0 and shutil.which("apt-get"):
        install_rabbitmq()
    scripts = sorted(glob.glob(RABBITMQ_SCRIPTS))
    return RabbitMQ(scripts[-1]) if scripts else None


def install_rabbitmq():
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    with services_stay_off():
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "rabbitmq-server"]):
            subprocess.run(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )


@contextlib.contextmanager
def services_stay_off():
    """Keeps the package from starting a broker on the standard ports."""
    policy = "/usr/sbin/policy-rc.d"
    if os.path.exists(policy):
        yield
        return
    with open(policy, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexit 101\n")
    os.chmod(policy, 0o755)
    try:
        yield
    finally:
        os.remove(policy)


def rabbitmq_environment(folder, port, distribution, epmd):
    config = os.path.join(folder, "rabbitmq.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"listeners.tcp.default = 127.0.0.1:{port}\nlog.console = false\n")
    plugins = os.path.join(folder, "enabled_plugins")
    with open(plugins, "w", encoding="utf-8") as file:
        file.write("[].")
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    return kept | {
        "HOME": folder,
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"bench-{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": os.path.join(folder, "data"),
        "RABBITMQ_LOG_BASE": os.path.join(folder, "log"),
        "RABBITMQ_PID_FILE": os.path.join(folder, "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
        "RABBITMQ_CONFIG_FILE": config,
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    }


def announced_address(process, log):
    """The AMQP address in the line of JSON that the broker prints when it is ready."""
    lines, found = [], threading.Event()

    def read():
        # Reads to the end: a full pipe would stop the broker.
        for line in process.stdout:
            lines.append(line)
            found.set()
        found.set()

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + START_TIMEOUT_S
    seen = 0
    while time.monotonic() < deadline:
        found.wait(0.1)
        for line in lines[seen:]:
            seen += 1
            address = address_in(line)
            if address:
                return address
        if process.poll() is not None:
            break
    raise BrokerError(f"leveret does not start:\n{tail(log)}")


def address_in(line):
    """`host:port` under the key `amqp`, as text or as the first of a list."""
    try:
        value = json.loads(line)["amqp"]
    except (ValueError, KeyError, TypeError):
        return None
    while isinstance(value, (list, dict)) and value:
        value = value[0] if isinstance(value, list) else next(iter(value.values()))
    return value if isinstance(value, str) and ":" in value else None


def wait_for_port(process, port, log):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise BrokerError(f"RabbitMQ does not start:\n{tail(log)}")


def wait_until_quiet(pid):
    """Waits until a fresh broker has settled, so that its start is not measured."""
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    used = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET_WINDOW_S)
        now = cpu_seconds(pid)
        if now - used < QUIET_SHARE * QUIET_WINDOW_S:
            return
        used = now


def cpu_seconds(pid):
    try:
        fields = read_text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(process, pid):
    """Asks the broker to stop; then makes it, with all that it has started. They share a process
    group made for them, and nobody else is in it."""
    with contextlib.suppress(ProcessLookupError):
        if pid is None:
            os.killpg(process.pid, signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGTERM)
    if not group_ends(process, STOP_TIMEOUT_S):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        group_ends(process, STOP_TIMEOUT_S)


def group_ends(process, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def stop_port_mapper(port):
    """Ends the port mapper of one node: it has a port of its own. It refuses while it still
    believes the node to be alive."""
    program = shutil.which("epmd")
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while program and time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        quietly([program, "-port", str(port), "-kill"])
        time.sleep(0.05)


def free_ports(count):
    """Ports that are free on every address and that no outgoing connection will be given: the
    thousands of an idle run leave theirs occupied for a minute."""
    ports = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise BrokerError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


@contextlib.contextmanager
def temporary_folder():
    folder = tempfile.mkdtemp(prefix="leveret-bench-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def quietly(command):
    with contextlib.suppress(OSError):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def tail(path):
    with contextlib.suppress(OSError):
        return "\n".join(read_text(path).splitlines()[-LOG_LINES:])
    return ""
