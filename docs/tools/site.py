"""MkDocs's hook: pages are the repository's own files, at the paths that they have there.

So a link that works where the repository is browsed works on the site, and MkDocs checks it.
"""

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_LINK = re.compile(r"\]\(([^)#\s]+)")
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take, instead of the files of `docs`, all pages and whatever they link to."""
    root = Path(config.config_file_path).parent
    for file in list(files.documentation_pages()) + list(files.media_files()):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = [*root.glob("*.md"), *root.glob("*/README.md"), *Path(config.docs_dir).rglob("*.md")]
    for path in sorted(_with_linked(root, {page.relative_to(root).as_posix() for page in pages})):
        files.append(File.generated(config, path, abs_src_path=str(root / path)))
    return files


def _with_linked(root: Path, pages: set[str]) -> set[str]:
    """Files, those that they link to, and so on, as paths from the root."""
    found: set[str] = set()
    new = pages
    while new:
        page = new.pop()
        found.add(page)
        if page.endswith(".md"):
            text = _CODE.sub("", (root / page).read_text(encoding="utf-8"))
            for link in _LINK.findall(text):
                path = (root / PurePosixPath(page).parent / link).resolve()
                if "://" not in link and path.is_file() and path.is_relative_to(root):
                    new.add(path.relative_to(root).as_posix())
        new -= found
    return found
