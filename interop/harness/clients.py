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
    """One program. `install` and `build` are commands run in `folder`."""

    name: str
    folder: Path
    needs: tuple
    command: tuple
    install: tuple = ()
    build: tuple = ()
    venv: bool = False

    def missing(self):
        """The first tool the machine does not have, or None."""
        return next((tool for tool in self.needs if shutil.which(tool) is None), None)

    def prepare(self):
        """Installs and builds. Raises InstallFailed or BuildFailed."""
        if self.venv:
            install_venv(VENV, self.folder / "requirements.txt")
        for command in self.install:
            checked(command, self.folder, InstallFailed)
        for command in self.build:
            checked(command, self.folder, BuildFailed)


def install_venv(venv, requirements):
    """A virtual environment with the pinned packages, unless it has exactly these already."""
    python, stamp = venv / "bin" / "python", venv / "requirements.installed"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return
    checked((sys.executable, "-m", "venv", "--clear", venv), HOME, InstallFailed)
    checked((python, "-m", "pip", "install", "--quiet", "--requirement", requirements), HOME,
            InstallFailed)
    shutil.copyfile(requirements, stamp)


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


def pika(adapter):
    """pika over one of its connection adapters."""
    return Client(
        f"pika-{adapter}", HOME / "python", ("python3",),
        (VENV / "bin" / "python", "-m", "pika_client", adapter), venv=True)


CLIENTS = (
    pika("blocking"),
    pika("select"),
    pika("asyncio"),
    Client(
        "aio-pika", HOME / "python", ("python3",),
        (VENV / "bin" / "python", "-m", "aio_pika_client"), venv=True),
    Client(
        "amqplib", HOME / "amqplib", ("node", "npm"), ("node", "main.mjs"),
        install=(("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund"),)),
    Client(
        "amqp091-go", HOME / "amqp091-go", ("go",), (HOME / "target" / "amqp091-go",),
        install=(("go", "mod", "download"),),
        build=(("go", "build", "-o", HOME / "target" / "amqp091-go", "."),)),
    Client(
        "java", HOME / "java", ("java", "javac", "mvn"),
        ("java", "-cp", "target/classes:target/lib/*", "interop.Main"),
        install=(("mvn", "-B", "-q", "dependency:resolve-plugins", "dependency:copy-dependencies"),),
        build=(("mvn", "-B", "-q", "-o", "compile"),)),
    Client(
        "lapin", HOME / "lapin", ("cargo",), (cargo_target() / "debug" / "interop-lapin",),
        install=(("cargo", "fetch", "--locked", "--quiet"),),
        build=(("cargo", "build", "--locked", "--offline", "--quiet"),)),
)
