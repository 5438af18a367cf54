"""The client programs: what each needs on the machine, how it is installed, built and run.

Installing fetches pinned packages and may fail because a registry is out of reach; building and
running use what is there. Knows nothing of what the programs print.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
VENV = HOME / ".venv"


class InstallFailed(Exception):
    """A package could not be fetched."""


class BuildFailed(Exception):
    """The program does not build."""


@dataclass(frozen=True)
class Client:
    """One program. `install` and `build` are commands run in `folder`.

    Where all that `install` fetches follows from the file `lock` and goes into the folder
    `product`, it is not repeated while both are as they were.
    """

    name: str
    folder: Path
    needs: tuple
    command: tuple
    install: tuple
    build: tuple = ()
    lock: str = ""
    product: Path = None

    def missing(self):
        """The first tool the machine does not have, or None."""
        return next((tool for tool in self.needs if shutil.which(tool) is None), None)

    def prepare(self):
        """Installs and builds. Raises InstallFailed or BuildFailed."""
        if self.product:
            install(self.folder / self.lock, self.product, self.install, self.folder)
        else:
            for command in self.install:
                checked(command, self.folder, InstallFailed)
        for command in self.build:
            checked(command, self.folder, BuildFailed)


def install(lock, product, commands, folder):
    """Runs the commands, unless the product is there and comes from the same lock file."""
    stamp = product / ".installed"
    if stamp.exists() and stamp.read_text() == lock.read_text():
        return
    shutil.rmtree(product, ignore_errors=True)
    for command in commands:
        checked(command, folder, InstallFailed)
    product.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(lock, stamp)


def venv_commands(venv, requirements):
    """A new virtual environment with the pinned packages."""
    return (
        (sys.executable, "-m", "venv", venv),
        (venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", requirements),
    )


def checked(command, folder, failure):
    """Runs the command; its output goes to the failure it raises."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise failure(f"{words}\n" + "\n".join(done.stdout.splitlines()[-20:]))


def environment():
    """The caller's, with one target folder for what cargo builds here."""
    return {"CARGO_TARGET_DIR": str(HOME / "target")} | os.environ


def cargo_target():
    return Path(environment()["CARGO_TARGET_DIR"])


def python_client(name, *arguments):
    """A program of the folder python/; all share one virtual environment."""
    return Client(
        name, HOME / "python", ("python3",), (VENV / "bin" / "python", "-m", *arguments),
        install=venv_commands(VENV, "requirements.txt"), lock="requirements.txt", product=VENV)


def javac(folder):
    """Compiles the program against the packages that Maven fetched."""
    sources = sorted((folder / "src" / "main" / "java").glob("**/*.java"))
    return ("javac", "--release", "17", "-encoding", "UTF-8", "-Xlint:all", "-Werror",
            "-cp", "target/lib/*", "-d", "target/classes", *sources)


CLIENTS = (
    python_client("pika-blocking", "pika_client", "blocking"),
    python_client("pika-select", "pika_client", "select"),
    python_client("pika-asyncio", "pika_client", "asyncio"),
    python_client("aio-pika", "aio_pika_client"),
    Client(
        "amqplib", HOME / "amqplib", ("node", "npm"), ("node", "main.mjs"),
        install=(("npm", "ci", "--no-audit", "--no-fund"),),
        lock="package-lock.json", product=HOME / "amqplib" / "node_modules"),
    Client(
        "amqp091-go", HOME / "amqp091-go", ("go",), (HOME / "target" / "amqp091-go",),
        install=(("go", "mod", "download"),),
        build=(("go", "build", "-o", HOME / "target" / "amqp091-go", "."),)),
    Client(
        "java", HOME / "java", ("java", "javac", "mvn"),
        ("java", "-cp", "target/classes:target/lib/*", "interop.Main"),
        install=(("mvn", "-B", "-q", "dependency:copy-dependencies"),),
        build=(javac(HOME / "java"),),
        lock="pom.xml", product=HOME / "java" / "target" / "lib"),
    Client(
        "lapin", HOME / "lapin", ("cargo",), (cargo_target() / "debug" / "interop-lapin",),
        install=(("cargo", "fetch", "--locked", "--quiet"),),
        build=(("cargo", "build", "--locked", "--offline", "--quiet"),)),
)
