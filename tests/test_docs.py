"""Documentation cannot lie: what the pages say is compared with the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.cli import VERBS
from pipelines.core.params import parse

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(((?!https?://|#)[^)#]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_verb_that_a_page_names_exists(page):
    named = set(re.findall(r"(?:^|`|&& )shelflife ([a-z]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_the_readme_holds_the_command_lines_own_help():
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"<!-- shelflife --help -->\n(.*)<!-- end -->", text, flags=re.DOTALL)[1]
    wanted = "".join(f"| `{verb}` | {said} |\n" for verb, said in VERBS.items())
    assert shown == f"| verb | does |\n|---|---|\n{wanted}"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_and_its_module(verb):
    assert (ROOT / "pipelines" / "steps" / f"{verb}.py").is_file()


def test_help_answers_without_importing_a_heavy_library():
    heavy = ("numpy", "pandas", "duckdb", "sklearn", "yaml", "pyarrow", "rich", "sqlalchemy")
    code = f"import sys; from pipelines.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_use_case_has_a_folder_of_three_small_files_and_a_block():
    params = parse(yaml.safe_load((ROOT / "params.yaml").read_text()))
    folders = {path.parent.name for path in (ROOT / "pipelines" / "usecases").glob("*/__init__.py")}
    assert folders == set(params.cases)
    for case in params.cases:
        files = {path.name for path in (ROOT / "pipelines" / "usecases" / case).glob("*.py")}
        assert files == {"__init__.py", "features.py", "models.py"}
