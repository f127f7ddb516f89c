"""The set-up cell: the one text with which every notebook begins its code.

The address of the repository stands in one place, ``repository.url`` in
``_config.yml``. Everything that shows the address is stamped from there: this cell
by ``lint_notebooks`` (which compares) and ``repository`` (which writes).
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

TEMPLATE = """\
try:
    import initlab as lab
except ImportError:
    %pip install -q --no-deps git+{url}.git
    import initlab as lab

lab.setup(seed=0)"""

ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9-]+/[A-Za-z0-9._-]+")


def setup_cell(url: str) -> str:
    """Return the source of the set-up cell for the repository at ``url``."""
    return TEMPLATE.format(url=url)


def is_setup_cell(source: str) -> bool:
    """Tell whether ``source`` is a set-up cell, perhaps with another address."""
    return "import initlab as lab" in source and "%pip install" in source


def valid_address(url: str) -> str:
    """Return ``url`` in its plain form, without ``.git`` and without a final slash.

    Raises:
        ValueError: if it is not the address of a repository on GitHub, the only
            host whose notebooks Colab opens.
    """
    plain = url.strip().rstrip("/").removesuffix(".git")
    if not ADDRESS.fullmatch(plain):
        raise ValueError(
            "the repository's address must look like https://github.com/OWNER/NAME "
            f"(Colab opens notebooks from GitHub only), got {url!r}"
        )
    return plain


def repository_url(root: Path) -> str:
    """Return ``repository.url`` of the ``_config.yml`` in the folder ``root``.

    Raises:
        ValueError: if the file or the entry is missing, or is not an address.
    """
    path = root / "_config.yml"
    if not path.is_file():
        raise ValueError(f"no _config.yml in {root}: run this from the project's root")
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    repository = config.get("repository") if isinstance(config, dict) else None
    url = repository.get("url") if isinstance(repository, dict) else None
    if not isinstance(url, str):
        raise ValueError("_config.yml: repository.url is missing")
    try:
        if valid_address(url) != url:
            raise ValueError(f"write it without .git and final slash, got {url!r}")
    except ValueError as error:
        raise ValueError(f"_config.yml: repository.url: {error}") from None
    return url
