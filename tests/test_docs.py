"""What the documentation shows runs, is built without a warning, and exists."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from docs.tools.pages import GENERATED
from lnets.cli.app import app
from lnets.specs.metrics import find_metric
from lnets.specs.schemas import schemas
from tests.conftest import REPOSITORY
from tests.documented import PAGES, blocks, inline, mentions

GROUP: Any = typer.main.get_command(app)


def _id(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


page_by_page = pytest.mark.parametrize("page", PAGES, ids=_id)


def _names(schema: Any) -> Iterator[tuple[str, str]]:
    """Fields, and the values that fields may have by name."""
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items():
            yield "field", name
            for value in [field.get("const"), *field.get("enum", ())]:
                yield "value", str(value)
        for inner in schema.values():
            yield from _names(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _names(inner)


FIELDS = {name for kind, name in _names(schemas()) if kind == "field"}
VALUES = {name for kind, name in _names(schemas()) if kind == "value"}
WORDS = {
    word
    for pattern in ("lnets/**/*.py", "sweeps/**/*.yaml", "Makefile", "pyproject.toml")
    for file in REPOSITORY.glob(pattern)
    for word in re.findall(r"\w+", file.read_text())
}
"""Whatever is called something in the code."""
SUFFIXES = {"py", "md", "yaml", "json", "txt", "npz", "png", "gif", "html", "safetensors", "db"}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=_id)
def test_its_python_runs(page: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@page_by_page
def test_its_commands_and_their_options_exist(page: Path) -> None:
    for words in mentions(page):
        name = words[0].split("/")[0].rstrip(",.")
        if name.startswith("-"):
            command = GROUP
        elif name in ("COMMAND", "…"):
            continue
        else:
            assert name in GROUP.commands, f"lnets-sweep {' '.join(words)}"
            command = GROUP.commands[name]
        context = typer.Context(command, **(app.info.context_settings or {}))
        options = {option for param in command.get_params(context) for option in param.opts}
        for word in words[command is not GROUP :]:
            if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word):
                assert word.partition("=")[0] in options, f"lnets-sweep {' '.join(words)}"


@page_by_page
def test_options_and_targets_that_it_names_exist(page: Path) -> None:
    options = {
        option
        for command in (GROUP, *GROUP.commands.values())
        for param in command.params
        for option in param.opts
    } | {"--help"}
    targets = set(re.findall(r"(?m)^(\w+):", (REPOSITORY / "Makefile").read_text()))
    for code in inline(page):
        option = re.match(r"--[a-z][\w-]*", code)
        if option and page.name != "from-the-original.md":
            assert option[0] in options, code
    for text in (*inline(page), *"\n".join(blocks(page, "sh")).splitlines()):
        called = re.match(r"make (\w+)", text)
        if called:
            assert called[1] in targets, text


@page_by_page
def test_fields_of_its_yaml_exist(page: Path) -> None:
    def check(value: Any, *, free: bool = False) -> None:
        if isinstance(value, list):
            for inner in value:
                check(inner)
        if isinstance(value, dict):
            for key, inner in value.items():
                names = re.split(r", |\.", str(key)) if "." in str(key) else [key]
                for name in [] if free else names:
                    assert name in FIELDS | {"…"}, key
                if key in ("type", "task") and inner != "…":
                    assert inner in VALUES, f"{key}: {inner}"
                check(inner, free=key in ("needs", "arguments", "custom"))

    for text in blocks(page, "yaml"):
        for document in yaml.safe_load_all(text):
            check(document)


def metric(name: str) -> bool:
    return any(find_metric(full) is not None for full in (name, f"{name}@0.1"))


@page_by_page
def test_names_in_its_text_exist(page: Path) -> None:
    for code in inline(page):
        for key, value in re.findall(r"(\w+): (\w*)", code):
            if key in ("type", "task"):
                assert value in VALUES | {""}, code
        if re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)+", code) and code.rpartition(".")[2] not in SUFFIXES:
            parts = code.split(".")
            assert set(parts) <= FIELDS if parts[0] in FIELDS else set(parts) <= WORDS, code
        for name in re.findall(r"(?<![\w./-])[a-z]+(?:_[a-z]+\d?)+(?![\w./=-])", code):
            assert name in WORDS | FIELDS | VALUES or metric(name), code


@page_by_page
def test_files_that_it_names_exist(page: Path) -> None:
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()} - {"results", "data"}
    for code in inline(page):
        for path in re.findall(r"[\w.-]+(?:/[\w.-]+)+/?", code):
            if path.split("/")[0] in folders - {"build"} and "test_…" not in code:
                assert (REPOSITORY / path).exists(), code


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_current(name: str) -> None:
    assert (REPOSITORY / "docs" / name).read_text() == GENERATED[name](), "run `make schemas`"


class _Requests(HTMLParser):
    """Whatever a page asks for when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_site_is_built_without_a_warning_and_asks_for_nothing_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert {page.name for page in pages} >= {"index.html", "commands.html", "fields.html"}
    for page in pages:
        requests = _Requests()
        requests.feed(page.read_text())
        assert requests.found
        assert not [url for url in requests.found if re.match(r"(\w+:)?//", url)], page
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(\w+:)?//", sheet.read_text()), sheet
    found = json.loads((tmp_path / "search" / "search_index.json").read_text())
    assert any("certified radius" in entry["text"] for entry in found["docs"])
