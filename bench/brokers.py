"""Starts and stops the brokers that are measured, each with ports and folders of its own.

Owns processes and temporary folders and leaves none behind; measures only how long a start takes.
"""

import contextlib
import glob
import json
import os
import queue
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import processes

# A backlog may have to be read.
START_TIMEOUT_S = 300
CLEAN_STOP_TIMEOUT_S = 120
PORT_INTERVAL_S = 0.02
PORT_MAPPER_TIMEOUT_S = 30
# Of a broker that does not start.
LOG_LINES = 5
# Below the usual range of ports for outgoing connections.
PORTS = range(20_000, 32_000)
RABBITMQ_SCRIPTS = "/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server"


class BrokerError(Exception):
    """A broker that does not start, with what it said."""


class Leveret:
    """This project's broker, from its release binary."""

    name = "leveret"
    is_own = True

    def __init__(self, binary):
        self.binary = binary

    def version(self):
        answer = subprocess.run([self.binary, "--version"], capture_output=True, text=True)
        return answer.stdout.strip() or "unknown"

    def start(self, threads=None):
        """A fresh broker for the length of a `with`, with so many threads that serve clients."""
        return fresh(lambda folder: LeveretNode(self.binary, folder, threads))


class RabbitMQ:
    """The installed RabbitMQ, as a node of its own, without plugins."""

    name = "rabbitmq"
    is_own = True

    def __init__(self, script):
        self.script = script

    def version(self):
        return os.path.basename(os.path.dirname(os.path.dirname(self.script)))

    def start(self, threads=None):
        """A fresh broker for the length of a `with`, with so many schedulers."""
        return fresh(lambda folder: RabbitMQNode(self.script, folder, threads))


class Running:
    """A broker that somebody else has started and goes on running: never fresh, seen from outside
    only."""

    is_own = False

    def __init__(self, name, address):
        self.name = name
        self.address = address

    def version(self):
        return f"already running at {self.address}"

    @contextlib.contextmanager
    def start(self, threads=None):
        """Where it is, for the length of a `with`."""
        yield RunningNode(f"amqp://guest:guest@{self.address}/%2F")


class RunningNode:
    """Where a broker is that was not started here."""

    def __init__(self, uri):
        self.uri = uri
        self.pid = None
        self.folder = None


@contextlib.contextmanager
def fresh(node_in):
    with temporary_folder() as folder:
        node = node_in(folder)
        try:
            node.start()
            processes.wait_until_quiet(node.pid)
            yield node
        finally:
            node.end()


class Node:
    """One broker with a folder of its own, which keeps its data over restarts."""

    def __init__(self, folder):
        self.folder = folder
        self.log = os.path.join(folder, "output")
        self.uri = None
        self.pid = None
        self.process = None
        # From starting the process to being ready for clients.
        self.start_s = None

    def start(self):
        """Starts the process and waits until it is ready."""
        begin = time.monotonic()
        ready = self.start_process()
        self.start_s = ready - begin

    def spawn(self, command, **options):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                **{"stdout": log, **options},
            )

    def stop(self):
        """Asks for a clean stop and waits for it."""
        if not processes.ask_to_stop(self.process, self.pid, CLEAN_STOP_TIMEOUT_S):
            raise BrokerError(f"no clean stop within {CLEAN_STOP_TIMEOUT_S} s:\n{tail(self.log)}")
        self.process = None

    def kill(self):
        """Ends the process as a crash would."""
        if not processes.kill(self.process):
            raise BrokerError("the process survives SIGKILL")
        self.process = None

    def end(self):
        """Leaves no process behind, whatever state this is in."""
        if self.process and not processes.ask_to_stop(self.process, self.pid):
            processes.kill(self.process)


class LeveretNode(Node):
    """A leveret on ports that the system chooses."""

    def __init__(self, binary, folder, threads=None):
        super().__init__(folder)
        self.command = [binary, "serve", "--data-dir", os.path.join(folder, "data")]
        self.command += ["--amqp-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
        if threads:
            self.command += ["--worker-threads", str(threads)]

    def start_process(self):
        self.spawn(self.command, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        ready, address = announced_address(self.process, self.log)
        self.uri = f"amqp://guest:guest@{address}/%2F"
        return ready


class RabbitMQNode(Node):
    """A RabbitMQ on ports that were free."""

    def __init__(self, script, folder, threads=None):
        super().__init__(folder)
        self.script = script
        self.port, distribution, self.epmd = free_ports(3)
        self.environment = rabbitmq_environment(folder, self.port, distribution, self.epmd)
        if threads:
            self.environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = f"+S {threads}:{threads}"
        self.uri = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def start_process(self):
        self.pid = None
        self.spawn([self.script], env=self.environment)
        ready = wait_for_port(self.process, self.port, self.log)
        self.pid = int(processes.read_text(self.environment["RABBITMQ_PID_FILE"]))
        return ready

    def end(self):
        super().end()
        stop_port_mapper(self.epmd)


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
    """When the broker printed its line of JSON that says it is ready, and the AMQP address in it."""
    found = queue.SimpleQueue()

    def read():
        # Reads to the end: a full pipe would stop the broker.
        for line in process.stdout:
            address = address_in(line)
            if address:
                found.put((time.monotonic(), address))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(queue.Empty):
        announced = found.get(timeout=START_TIMEOUT_S)
        if announced:
            return announced
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
    """When somebody listens there."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic()
        time.sleep(PORT_INTERVAL_S)
    raise BrokerError(f"RabbitMQ does not start:\n{tail(log)}")


def stop_port_mapper(port):
    """Ends the port mapper of one node: it has a port of its own. It refuses while it still
    believes the node to be alive."""
    program = shutil.which("epmd")
    deadline = time.monotonic() + PORT_MAPPER_TIMEOUT_S
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


def tail(path):
    with contextlib.suppress(OSError):
        return "\n".join(processes.read_text(path).splitlines()[-LOG_LINES:])
    return ""
