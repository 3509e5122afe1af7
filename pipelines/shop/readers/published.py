"""The public datasets as they are published: their files, checksums and addresses."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.errors import ShelflifeError

Fetch = Callable[[str], bytes]
"""Gets the bytes behind an address."""
Progress = Callable[[str, int, int], None]
"""Is told what is done, how much of it, of how many."""


@dataclass(frozen=True)
class Published:
    """A public dataset: its licence, where it comes from, and the SHA-256 of each file that is read.

    `address` is where one can go and look. `parts` are the addresses to download from: a zip with one CSV file in it, or CSV
    files with one header; `content` is the SHA-256 of the CSV that they make. Where there are none, `instead` says why not.
    """

    name: str
    licence: str
    address: str
    files: dict[str, str]
    parts: tuple[str, ...] = ()
    content: str = ""
    instead: str = ""


def _daily(address: str, first: str, last: str, closed: str) -> tuple[str, ...]:
    """An address for each day on which the shop was open: not on Saturdays, nor on the closed days."""
    start, end = map(dt.date.fromisoformat, (first, last))
    days = [start + dt.timedelta(n) for n in range((end - start).days + 1)]
    shut = set(closed.split())
    return tuple(address.format(day) for day in days if day.weekday() != SATURDAY and day.isoformat() not in shut)


SATURDAY = 5
CLOTHING = "https://raw.githubusercontent.com/irmakozveren01/Womens-clothing-text-analysis"
PUBLISHED = {
    source.name: source
    for source in (
        Published(
            "fraud_handbook_transactions", "not stated (book: GPL-3.0, CC BY-SA 4.0)",
            "https://github.com/Fraud-Detection-Handbook/simulated-data-raw",
            {"transactions.parquet": "36be566e6fd9641c085e0c317cc35070301d5e57b231f5c1cc707333a4201521"},
            instead="it is published as pickles, which are never opened here",
        ),
        Published(
            "online_retail", "CC BY 4.0", "https://archive.ics.uci.edu/dataset/352/online+retail",
            {"online_retail.parquet": "483e231fa668d3517b768b85fb1faa2f121b92c75a1e17b5a68ec6740aac4a31"},
            # The publisher has a spreadsheet; these are its rows as CSV, a file a day.
            _daily(
                "https://raw.githubusercontent.com/databricks/Spark-The-Definitive-Guide/"
                "4ba5601eb9b9aed1d01ab79775e3af228216ff6f/data/retail-data/by-day/{}.csv",
                "2010-12-01", "2011-12-09",
                "2010-12-24 2010-12-26 2010-12-27 2010-12-28 2010-12-29 2010-12-30 2010-12-31 2011-01-02 2011-01-03 "
                "2011-04-22 2011-04-24 2011-04-25 2011-04-29 2011-05-02 2011-05-30 2011-08-29",
            ),
            "c35975c40d0e1e105090fbb11188a409393055f873841bd012915475fc84e69f",
        ),
        Published(
            "sessions_tmall", "non-commercial research", "https://tianchi.aliyun.com/dataset/42",
            {
                "train.txt.gz": "592b708efd4ac616d0b5a44097bca1a3276b6e2855c6ba89d0e6cc3e3788c2ec",
                "test.txt.gz": "5e2e826021e580d815a4e980cb225908e04e85606a878d68281815a54c1d42db",
                "train_valid.txt.gz": "d65cdc421260119e7273471ddd9b6cf6ff49cc0b55c501121c45e98aa76d14c9",
            },
            instead="its licence asks for a login and non-commercial use",
        ),
        Published(
            "womens_clothing_reviews", "CC0", "https://www.kaggle.com/datasets/nicapotato/womens-ecommerce-clothing-reviews",
            {"Womens_Clothing_E-Commerce_Reviews.csv.gz": "1eac5948a4445b8894b933ca9c1d5cc8f19b964b00e0bb14a75aeb7a0519175b"},
            (f"{CLOTHING}/18e084eca89ca3f0fe66ee29933876c2e8b909af/Womens%20Clothing%20E-Commerce%20Reviews.csv.zip",),
            "bd93cc515747ad1f87b8bc863c9e40da758509e6db6506a96d06976e61e36ee0",
        ),
        Published(
            "online_shopping_10_cats", "not stated", "https://github.com/SophonPlus/ChineseNlpCorpus",
            {"online_shopping_10_cats.csv.gz": "8c255eba0777dbdb0eb96007e804adfb8d99ca539767ab894562a84b7bcb98a4"},
            instead="no licence allows it, and the checksum here is that of a copy without reviewers' phone numbers",
        ),
    )
}  # fmt: skip
"""Every public dataset that has a reader."""


def dataset(name: str) -> Published:
    """The dataset of that name. Raises ShelflifeError, naming those there are."""
    if name not in PUBLISHED:
        raise ShelflifeError(f"there is no reader for {name!a}; there are readers for {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def contents(name: str, folder: Path) -> dict[str, bytes]:
    """The bytes of the dataset's files, unpacked; every file's SHA-256 is checked before anything parses it.

    Raises ShelflifeError where a file is missing, cannot be read, or is not the published one.
    """
    source = dataset(name)
    return {file: _content(Path(folder), file, sha, source) for file, sha in source.files.items()}


def _content(folder: Path, file: str, sha: str, source: Published) -> bytes:
    """One file's bytes, unpacked: from the file as kept, or from the CSV that `download` left."""
    if source.parts and (plain := folder / _csv(file)).exists():
        return _verified(plain, source.content, source)
    data = _verified(folder / file, sha, source)
    return gzip.decompress(data) if file.endswith(".gz") else data


def _csv(file: str) -> str:
    """The name of the CSV with a file's rows."""
    return f"{file.split('.', 1)[0]}.csv"


def _verified(path: Path, sha: str, source: Published) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ShelflifeError(f"{source.name}: wanted the file {path}, it is not there; get it from {source.address}") from None
    except OSError as error:
        raise ShelflifeError(f"{source.name}: {path} cannot be read: {error.strerror or error}") from None
    got = hashlib.sha256(data).hexdigest()
    if got != sha:
        told = f"wanted sha256 {sha[:12]}.., got {got[:12]}..; get it again"
        raise ShelflifeError(f"{source.name}: {path.name} is not the published file: {told}")
    return data


def download(name: str, folder: Path, fetch: Fetch | None = None, progress: Progress | None = None) -> list[Path]:
    """Download a dataset into the folder from its publisher, or a public copy, content checked first; the files there now.

    Raises ShelflifeError where it cannot be downloaded (and why), where there is no network, or where the content is another.
    """
    source = dataset(name)
    if not source.parts:
        raise ShelflifeError(f"{name} cannot be downloaded: {source.instead}; get it from {source.address} and name its folder")
    (file,) = source.files
    parts = []
    for address in source.parts:
        parts.append(_plain(name, (fetch or over_https)(address), address))
        (progress or _silent)(name, len(parts), len(source.parts))
    content = _joined(parts)
    got = hashlib.sha256(content).hexdigest()
    if got != source.content:
        told = f"wanted sha256 {source.content[:12]}.., got {got[:12]}.."
        raise ShelflifeError(f"{name}: {source.parts[0]} holds another content than expected: {told}")
    target = Path(folder) / _csv(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".part")
    unfinished.write_bytes(content)
    unfinished.replace(target)
    return [target]


def _silent(_name: str, _done: int, _total: int) -> None:
    """Nobody looks."""


def _plain(name: str, data: bytes, address: str) -> bytes:
    return _only_file(name, data) if address.endswith(".zip") else data


def _joined(parts: list[bytes]) -> bytes:
    """One CSV of several with the same header."""
    return b"".join([parts[0], *(part.split(b"\n", 1)[-1] for part in parts[1:])])


def _only_file(name: str, archive: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            found = [info for info in opened.infolist() if info.filename.endswith(".csv")]
            files = [info for info in found if not info.filename.startswith("__MACOSX")]
            if len(files) != 1 or files[0].file_size > 1_000_000_000:
                raise ShelflifeError(f"{name}: wanted an archive with one CSV file below 1 GB, got {len(files)}")
            return opened.read(files[0])
    except zipfile.BadZipFile:
        raise ShelflifeError(f"{name}: what was downloaded is no zip archive; try again later") from None


def over_https(address: str) -> bytes:
    """The bytes behind an https address. Raises ShelflifeError where there is no network or no such file."""
    import urllib.request

    try:
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  # addresses are constants of this module
            return answer.read()
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ShelflifeError(f"{address} cannot be reached: {reason}; download it elsewhere and name its folder") from None
