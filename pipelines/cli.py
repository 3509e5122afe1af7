"""The command line: one word per verb. Only the verb that is asked for is imported, so help answers at once."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.core.errors import ShelflifeError

VERBS = {
    "ingest": "take a snapshot of a use case's events as of its moment, or read a source into the event log",
    "validate": "stop bad data before it trains: suites and contracts over the snapshot",
    "featurize": "turn events into rows of features and matured labels, split by time",
    "train": "fit the candidates, calibrate, choose on validation data, pack the bundle",
    "evaluate": "judge the bundle against the champion: an Evidently report and the verdict read off it",
    "promote": "let a judged bundle answer, if its verdict and the champion still stand",
    "rollback": "let the previous champion answer again, or hold a use case",
    "serve": "answer the shop over HTTP with the released bundles",
    "stream": "keep the online features up to date with the event log",
    "monitor": "look for broken data, drift and falling quality; propose retraining; send the mail",
    "simulate": "let days go by in the simulated shop",
    "why": "say which release answers, since when, why, and what it was made from",
    "replay": "decide a recorded decision again: the same inputs, the same verdict",
    "catalogue": "list every feature in a sentence: whose it is, how often missing, how much a model makes of it",
    "quarantine": "list the rows that broke their contract, and replay them after a fix",
    "learn": "open, record and list the runs of a use case, each in its own worktree and commit",
    "mail": "hand over the mail that waits for its server, and say what still waits",
    "airflow": "start Airflow on loopback, with its scheduler, web UI and mail, and stop it whole",
    "keys": "make, rotate, revoke and list the keys that sign releases",
    "backup": "copy the whole state to an archive",
    "restore": "bring the state back from an archive",
    "prune": "remove what retention no longer needs",
    "erase": "take a person's events out of everything that this home holds, for good",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Exit status: 0 done, 2 bad input or a refusal (one sentence says why), 1 something broke."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in words if not word.startswith("-")), None)
    parser = _parser(verb if verb in VERBS else None)
    args = parser.parse_args(words)
    if os.environ.get("SHELFLIFE_TRACEBACK"):
        return _run(verb, args)
    try:
        return _run(verb, args)
    except ShelflifeError as error:
        print(f"shelflife {verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(
            f"shelflife {verb}: {error.strerror or error}: {error.filename or 'see --help'}; mend that and run it again: nothing was half-written",
            file=sys.stderr,
        )
        return 1
    except Exception as error:
        if not _is_database(error):
            raise
        print(f"shelflife {verb}: {_database(error)}", file=sys.stderr)
        return 1


def _is_database(error: Exception) -> bool:
    """Whether a database itself is away or unwell; what else a library raises is a defect of ours, and shows its traceback."""
    kinds = {"OperationalError", "DatabaseError", "InterfaceError"}
    return type(error).__module__.partition(".")[0] in ("sqlite3", "sqlalchemy", "psycopg2") and type(error).__name__ in kinds


def _database(error: Exception) -> str:
    """What a database says, without the statement; none of them names a password."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    todo = {
        "full": "free some space",
        "not a database": "restore a backup (shelflife restore)",
        "malformed": "restore a backup (shelflife restore)",
        "readonly": "let this user write to the home",
        "locked": "wait until the other command has ended",
    }
    advice = next((what for word, what in todo.items() if word in said), "bring it back")
    return f"the database is away or unwell ({said}); {advice}, then run this again: nothing was half-written"


def _run(verb: str | None, args: argparse.Namespace) -> int:
    step = importlib.import_module(f"pipelines.steps.{verb}")
    result = step.run(args)
    if args.json:
        print(json.dumps(result, ensure_ascii=False, default=str))
    elif text := _text(result):
        print(text)
    return int(result.get("exit", 0)) if isinstance(result, Mapping) else 0


def _text(result: Any) -> str:
    """What a person reads: the result's own words, or its entries a line each."""
    if not isinstance(result, Mapping):
        return str(result or "")
    return (
        str(result["text"])
        if "text" in result
        else "\n".join(f"{name}: {value}" for name, value in result.items() if name != "exit")
    )


def _parser(verb: str | None) -> argparse.ArgumentParser:
    """The whole command line, with the arguments of one verb filled in."""
    parser = argparse.ArgumentParser(
        prog="shelflife", description="Trains, dates, watches and replaces an online shop's models, on evidence."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        if name == verb:
            importlib.import_module(f"pipelines.steps.{name}").arguments(sub)
    return parser
