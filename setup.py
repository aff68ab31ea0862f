"""What pyproject.toml cannot say: the README for a package's page, where relative links lead nowhere.

`GSDYN_SOURCE_URL` is where the source lives, such as CI gives it. With it the links and pictures of the README become
absolute and the metadata name the place; without it the README is taken as it is.
"""

import os
import re
from pathlib import Path

from setuptools import setup

SOURCE = os.environ.get("GSDYN_SOURCE_URL", "").rstrip("/")


def readme() -> str:
    """The README, its links into the repository made absolute."""
    text = Path(__file__).with_name("README.md").read_text()
    if not SOURCE:
        return text
    version = re.search(r'__version__ = "(.+)"', Path(__file__).with_name("gsdyn").joinpath("__init__.py").read_text())
    tag = f"v{version[1]}" if version else "main"
    text = re.sub(r"!\[([^]]*)\]\((?!\w+:)([^)]+)\)", rf"![\1]({SOURCE}/raw/{tag}/\2)", text)
    return re.sub(r"(?<!!)\[([^]]*)\]\((?!\w+:|#)([^)]+)\)", rf"[\1]({SOURCE}/blob/{tag}/\2)", text)


if __name__ == "__main__":
    setup(
        long_description=readme(),
        long_description_content_type="text/markdown",
        project_urls={"Source": SOURCE} if SOURCE else {},
    )
