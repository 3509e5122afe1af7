"""How our Airflow is set up: loopback only, its own home, secrets made once, one setting for the database."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.errors import ShelflifeError
from pipelines.steps.airflow_api import AirflowApi

LOOPBACK = "127.0.0.1"
ROLES = ("admin", "op", "user", "viewer")
POOL = "train"
"""The pool of one slot in which models are trained."""


@dataclass(frozen=True)
class Settings:
    """How this Airflow runs. `database` is one SQLAlchemy address; None is SQLite under the home. `users` maps a name to a role.

    `passwords` may preset some users' passwords; all others are random. DAGs in `active` are switched on when it is up.
    """

    root: Path
    home: Path
    port: int = 8080
    database: str | None = None
    parallelism: int = 4
    users: tuple[tuple[str, str], ...] = (("admin", "admin"),)
    passwords: tuple[tuple[str, str], ...] = ()
    active: tuple[str, ...] = ("learn", "monitor", "calendar", "mail")
    extra: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, role in self.users:
            if not re.fullmatch(r"[a-z][a-z0-9_.-]{0,31}", name) or role not in ROLES:
                raise ShelflifeError(f"wanted users such as ops:op with a role of {', '.join(ROLES)}, got {f'{name}:{role}'!a}")

    @property
    def folder(self) -> Path:
        return self.home.resolve() / "airflow"

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def passwords_file(self) -> Path:
        return self.folder / "passwords.json"

    def password(self, user: str) -> str:
        """The password of a user. Raises ShelflifeError where there is no such user."""
        known = _read_json(self.passwords_file)
        if user not in known:
            raise ShelflifeError(f"this Airflow has no user {user!a}; it has {', '.join(sorted(known)) or 'none yet'}")
        return str(known[user])

    def api(self, user: str | None = None) -> AirflowApi:
        """A client for one of the users, the first one by default."""
        name = user or self.users[0][0]
        return AirflowApi(self.address, name, self.password(name))


def environment(settings: Settings) -> dict[str, str]:
    """What every part of Airflow is started with. Secrets are made once per home and kept in files of mode 0600."""
    _make_passwords(settings)
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW") and name != "PYTHONDONTWRITEBYTECODE"
    }
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // settings.parallelism))
    secret = _secrets(settings.folder / "secrets.json")
    database = settings.database or f"sqlite:///{settings.folder / 'airflow.db'}"
    airflow = {
        "CORE__DAGS_FOLDER": settings.root / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__PARALLELISM": settings.parallelism,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": secret["fernet"],
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.address}/execution/",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in settings.users),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": settings.passwords_file,
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": False,
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API__HOST": LOOPBACK,
        "API__PORT": settings.port,
        "API__BASE_URL": settings.address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secret["api"],
        "API__EXPOSE_CONFIG": False,
        "API_AUTH__JWT_SECRET": secret["jwt"],
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "LOGGING__BASE_LOG_FOLDER": settings.folder / "logs" / "tasks",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **keep,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{keep.get('PATH', os.defpath)}",
        "AIRFLOW_HOME": str(settings.folder),
        **{f"AIRFLOW__{name}": str(value) for name, value in airflow.items()},
        "SHELFLIFE_ROOT": str(settings.root), "SHELFLIFE_HOME": str(settings.home),
        "SHELFLIFE_PYTHON": sys.executable, "SHELFLIFE_TRAIN_POOL": POOL,
        "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive",
        "TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads, "DO_NOT_TRACK": "1",
        **dict(settings.extra),
    }  # fmt: skip


def _make_passwords(settings: Settings) -> None:
    """Every user has a password: the preset one, the one there was, or a random one."""
    known = _read_json(settings.passwords_file)
    wanted = {name: known.get(name) or secrets.token_urlsafe(18) for name, _ in settings.users} | dict(settings.passwords)
    _write_secret(settings.passwords_file, wanted)


def _secrets(path: Path) -> dict[str, str]:
    """The keys of this Airflow: made once, so that a restart keeps sessions and stored connections readable."""
    known = _read_json(path)
    if not known:
        known = {
            "api": secrets.token_hex(32),
            "jwt": secrets.token_hex(32),
            "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        _write_secret(path, known)
    return known


def _write_secret(path: Path, value: dict[str, str]) -> None:
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file)
    draft.replace(path)


def _read_json(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}
