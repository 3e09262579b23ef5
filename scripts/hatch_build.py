"""What a build adds: metadata that the place of the release decides (URLs, links of README.md), and docs/ in wheels.

PROJECT_URL names the repository, https://HOST/OWNER/NAME, when a release is built: a checkout does not know its home.
The links then lead to the tag of the version. Without it there are no URLs, and a link within the repository becomes
its text, since PyPI would resolve it against its own page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)\s]+)\)")
_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


def absolute(text: str, files: str) -> str:
    """The text with links below the URL `files`, or without links where it is empty."""
    return _LINK.sub(lambda found: f"[{found[1]}]({files}/{found[2]})" if files else found[1], text)


def urls(home: str, files: str) -> dict[str, str]:
    """The project's URLs (packaging.python.org, "Well-known labels"). Raises ValueError for a home that is none."""
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?(/[\w.-]+){2,}", home):
        raise ValueError(f"PROJECT_URL: {home} is not the URL of a repository: write https://HOST/OWNER/NAME")
    return {
        "Source": home,
        "Documentation": f"{files}/docs",
        "Changelog": f"{files}/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }


class CustomMetadataHook(MetadataHookInterface):  # the name that hatchling looks for
    def update(self, metadata: dict[str, Any]) -> None:
        root, home = Path(self.root), os.environ.get("PROJECT_URL", "").rstrip("/")
        (version,) = _VERSION.findall((root / "provisioner" / "__init__.py").read_text(encoding="utf-8"))
        files = f"{home}/blob/v{version}" if home else ""
        if home:
            metadata["urls"] = urls(home, files)
        text = absolute((root / "README.md").read_text(encoding="utf-8"), files)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """An editable install reads docs/ of its checkout (provisioner/operations/manual.py)."""
        if version == "standard":
            build_data["force_include"][str(Path(self.root) / "docs")] = "provisioner/docs"
