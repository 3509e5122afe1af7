"""Each stage depends on the rooms it imports and on its use case's folder, neither more nor less."""

from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CASE = "${item.case}"


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("pipelines", include_external_packages=False, cache_dir=None)


def place(module):
    """Where a module's source lies, as coarse as dvc.yaml names it: a step's own file, a room's folder."""
    parts = module.split(".")
    if len(parts) == 1:
        return None
    if parts[1] == "steps":
        return f"pipelines/steps/{parts[2]}.py" if len(parts) > 2 else None
    if parts[1] == "usecases":
        return f"pipelines/usecases/{CASE}" if len(parts) > 2 else "pipelines/usecases/__init__.py"
    return f"pipelines/{parts[1]}"


def imported(graph, stage):
    step = f"pipelines.steps.{stage}"
    modules = {step} | graph.find_upstream_modules(step)
    # A use case is found by listing folders, so the graph cannot see it: who imports the menu imports the models it names.
    if "pipelines.usecases" in modules:
        case = {m for m in graph.modules if m.startswith("pipelines.usecases.")}
        modules |= case.union(*(graph.find_upstream_modules(m) for m in case))
    return {found for module in modules if (found := place(module))}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_imports(graph, stage):
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith("pipelines/")}
    wanted = imported(graph, stage)
    assert sorted(declared) == sorted(wanted)


def test_every_stage_is_a_verb_over_every_use_case():
    for name, stage in STAGES.items():
        assert stage["matrix"] == {"case": "${cases}"}
        assert stage["cmd"] == f"python -m pipelines {name} {CASE}"
