"""`python -m tests.wheel` (scripts/check-wheel): the wheel as users get it, in an environment that has nothing else.

The suite tries the same commands in a process that cannot import the libraries of the sandbox (tests/test_extras.py).
Here the sandbox that they are tried on runs from this environment, and the commands from the other one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from email import message_from_string
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from provisioner import __version__, extras
from tests.cli.shop import Shop
from tests.test_extras import ENVIRONMENT, LINES, PROJECT, ROOT, SERVERS, open_extras_shop

HINT = re.compile(r'run (pip install "[^"]+")')
NEEDS = {"sandbox start": "sandbox", "test": "sandbox", "fleet": "fleet"}
"""How the lines begin that need an extra, and which."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="provisioner-wheel-") as name:
        work = Path(name)
        wheel = build(work)
        look_inside(wheel)
        bare = Bare(work / "bare")
        bare.pip("install", "--no-compile", "--constraint", str(constraints(work, "requirements.lock")), str(wheel))
        look_at_installed(bare)
        (work / "shop").mkdir()
        with open_extras_shop(work / "shop") as shop:
            hint = try_commands(bare, shop)
            add_extra(bare, shop, hint, constraints(work, "requirements-sandbox.lock"))
    return 0


def build(work: Path) -> Path:
    """The wheel of this checkout."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(work))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (wheel,) = work.glob("*.whl")
    return wheel


def constraints(work: Path, lock: str) -> Path:
    """The versions of a lock file, without hashes: a wheel of a folder has none that pip could compare."""
    pins = re.findall(r"^[a-z0-9][\w.-]*==[^\\\n]+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    file = work / lock
    file.write_text("\n".join(pins) + "\n", encoding="utf-8")
    return file


def look_inside(wheel: Path) -> None:
    """Its files and its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (place,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(place).decode("utf-8"))
    source = {str(p.relative_to(ROOT)) for p in (ROOT / "provisioner").rglob("*") if p.is_file()}
    source = {name for name in source if "__pycache__" not in name}
    demand(source <= names, f"files are missing: {sorted(source - names)}")
    pages = {f"provisioner/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "docs").rglob("*") if p.is_file()}
    demand(pages <= names, f"pages are missing: {sorted(pages - names)}")
    manual = f"{place.split('/')[0].removesuffix('.dist-info')}.data/data/share/man/man1/provisioner.1"
    demand(manual in names, "the page for man is missing")
    strangers = {n for n in names if not n.startswith(("provisioner/", place.split("/")[0]))} - {manual}
    demand(not strangers, f"files that do not belong there: {sorted(strangers)}")
    demand(metadata["Name"] == extras.DISTRIBUTION, f"the name is {metadata['Name']}")
    demand(metadata["Version"] == __version__, f"the version is {metadata['Version']}")
    demand(set(metadata.get_all("Provides-Extra") or ()) == set(extras.MODULES), "the extras are others")
    relative = re.findall(r"\]\((?!https?://|#)[^)]+\)", str(metadata.get_payload()))
    demand(not relative, f"links that lead nowhere on PyPI: {relative}")
    always = [Requirement(text) for text in metadata.get_all("Requires-Dist") or () if "extra ==" not in text]
    demand(len(always) == len(PROJECT["dependencies"]), "the requirements are others")
    say(f"{wheel.name}: {len(names)} files, {len(always)} requirements")


class Bare:
    """An environment of its own, without anything of this process's."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.folder, self.programs = folder, folder / ("Scripts" if os.name == "nt" else "bin")

    def pip(self, *arguments: str) -> str:
        command = [str(self.programs / "python"), "-P", "-m", "pip", "--disable-pip-version-check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        demand(done.returncode == 0, f"pip {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def run(self, line: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        place = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
        command = [str(self.programs / "provisioner"), *line.split()]
        return subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True, check=False, timeout=120)

    def size_mb(self, *part: str) -> float:
        (site,) = self.folder.glob("lib/python*/site-packages")
        return sum(f.stat().st_size for f in site.joinpath(*part).rglob("*") if f.is_file()) / 1e6


def look_at_installed(bare: Bare) -> None:
    listed = [line.split("==")[0] for line in bare.pip("list", "--format", "freeze").splitlines()]
    names = {canonicalize_name(name) for name in listed}
    demand(not names & SERVERS, f"server libraries without extras: {sorted(names & SERVERS)}")
    demand(bare.pip("check").strip() == "No broken requirements found.", "the requirements do not fit together")
    sizes = f"{bare.size_mb():.0f} MB, of which msgraph {bare.size_mb('msgraph'):.0f} MB"
    say(f"without extras: {len(names)} distributions, {sizes}")


def try_commands(bare: Bare, shop: Shop) -> str:
    """Every command; the command that the messages name for the extra of the sandbox."""
    hints: dict[str, str] = {}
    for line, code in LINES:
        done = bare.run(line, shop.folder, {**shop.environment, **ENVIRONMENT})
        demand(done.returncode == code, f"{line}: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        demand("Traceback" not in done.stderr, f"{line}: {done.stderr}")
        extra = next((extra for begin, extra in NEEDS.items() if line.startswith(begin)), "")
        demand(("EXTRA-MISSING" in done.stderr) == bool(extra), f"{line}: {done.stderr}")
        named = {hint for hint in HINT.findall(done.stderr) if f"[{extra}]" in hint}
        demand(len(named) == bool(extra), f"{line} names another extra: {done.stderr}")
        hints |= dict.fromkeys((extra,), *named) if extra else {}
        say(f"  exit {code}  provisioner {line}{f'  (names the extra {extra})' if extra else ''}")
    return hints["sandbox"]


def add_extra(bare: Bare, shop: Shop, hint: str, pins: Path) -> None:
    """The named command, without asking an index for our own name; then what needed the extra works."""
    wanted = hint.removeprefix("pip install ").strip('"')
    bare.pip("install", "--no-index", "--no-deps", wanted)
    bare.pip("install", "--no-compile", "--constraint", str(pins), wanted)
    for line in (
        "sandbox start --state other --profile-name other --detach",
        "sandbox stop --state other",
        "test plan.test.yaml",
    ):
        done = bare.run(line, shop.folder, {**shop.environment, **ENVIRONMENT})
        demand(done.returncode == 0, f"{line}: exit {done.returncode}: {done.stdout}{done.stderr}")
        say(f"  exit 0  provisioner {line}")
    say(f"{hint}: what needed the extra works")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def demand(true: bool, otherwise: str) -> None:
    if not true:
        sys.exit(f"error: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
