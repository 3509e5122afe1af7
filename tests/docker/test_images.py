"""Images cannot be built here; every path, command and variable in them is checked instead."""

import re
from pathlib import Path

import pytest
import yaml

from pipelines.cli import VERBS

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
KNOWN = {
    "SHELFLIFE_HOME",
    "SHELFLIFE_ROOT",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "DO_NOT_TRACK",
    "DVC_NO_ANALYTICS",
    "PATH",
    "AIRFLOW_HOME",
}


def lines(image, word):
    text = image.read_text().replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in text.splitlines() if line.startswith(f"{word} ")]


@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.stem)
def test_every_path_that_an_image_copies_exists(image):
    copied = [
        part for line in lines(image, "COPY") if "--from" not in line for part in line.split()[:-1] if not part.startswith("--")
    ]
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.stem)
def test_an_image_runs_as_nobody_special_from_the_lock(image):
    assert lines(image, "USER") == ["10001"]
    assert "--locked" in image.read_text()


@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.stem)
def test_every_variable_of_an_image_is_one_that_something_reads(image):
    names = {pair.split("=")[0] for line in lines(image, "ENV") for pair in line.split()}
    assert {name for name in names if name not in KNOWN and not re.fullmatch(r"AIRFLOW__[A-Z]+__[A-Z_]+", name)} == set()


def test_the_serving_image_has_no_training_library():
    text = (ROOT / "docker" / "serve.Dockerfile").read_text()
    assert "--extra" not in text
    assert "git" not in " ".join(lines(ROOT / "docker" / "serve.Dockerfile", "RUN"))


def test_every_verb_that_the_compose_file_runs_exists():
    ours = [service for service in SERVICES.values() if service.get("image") in ("shelflife-learn", "shelflife-serve")]
    runs = [service["command"][0] for service in ours if "command" in service]
    assert runs
    assert set(runs) <= set(VERBS)
    assert lines(ROOT / "docker" / "serve.Dockerfile", "CMD")[0].startswith('["serve"')


def test_every_service_is_limited_and_bound_to_loopback():
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "docker.sock" not in str(service), name


def test_no_password_stands_in_the_compose_file():
    text = (ROOT / "docker" / "compose.yaml").read_text()
    assert re.findall(r"PASSWORD: *[^/\s]", text) == []
    assert COMPOSE["secrets"]["postgres_password"] == {"file": "secrets/postgres_password"}


def test_the_parts_of_airflow_are_those_that_the_launcher_starts():
    from pipelines.steps.airflow import SERVICES as PARTS

    commands = " ".join(service["command"][0] for name, service in SERVICES.items() if name.startswith("airflow"))
    assert all(part in commands for part in PARTS)
