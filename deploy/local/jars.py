"""Apache Kafka's jars: fetched once by Maven coordinates, verified, and only then put into place.

jgo warns of a bad checksum and takes a truncated file for a cached one, so it only ever downloads into a private folder
that is thrown away; what counts is the SHA-256 in the closed list `kafka.jars`.
"""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import filelock
from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver
from requests import RequestException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from deploy.local.errors import HomeUnusable, JarCorrupt, JarsUnavailable, explained

KAFKA_VERSION = "4.3.1"
FETCH_THREADS = 4
FETCH_ATTEMPTS = 4
FETCH_TIMEOUT_SECONDS = 30
# Whoever waits for another program's fetch waits at most this long; the lock itself is let go when its holder dies.
LOCK_TIMEOUT_SECONDS = 900

Report = Callable[[int, int], None]
"""Told the number of bytes fetched so far and in total."""
Download = Callable[["Jar", Path, Callable[[int], None]], Path]
"""Fetches one jar into a folder, telling how many bytes came, and says where it is."""


@dataclass(frozen=True)
class Jar:
    """One line of the closed list."""

    sha256: str
    size_bytes: int
    coordinate: str

    @property
    def name(self) -> str:
        _group, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def listed_jars() -> tuple[Jar, ...]:
    """The closed list, in the order of the class path."""
    lines = files("deploy.local").joinpath("kafka.jars").read_text().splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(sha256, int(size), coordinate) for sha256, size, coordinate in rows)


def jars_folder(cache: Path) -> Path:
    """Where the verified jars lie."""
    return cache / f"kafka-{KAFKA_VERSION}"


def class_path(cache: Path, jars: Sequence[Jar]) -> str:
    """The class path for `java`, always in the same order: a class archive is good for one order only."""
    return os.pathsep.join(str(jars_folder(cache) / jar.name) for jar in jars)


def wrong_jars(cache: Path, jars: Sequence[Jar], thorough: bool = True) -> tuple[Jar, ...]:
    """The jars that are missing or not what the list names; `thorough=False` looks at sizes only."""
    return tuple(jar for jar in jars if not _is_good(jars_folder(cache) / jar.name, jar, thorough))


def fetch_jars(cache: Path, report: Report | None = None, download: Download | None = None) -> Path:
    """Make sure that all jars of the closed list are there, and return their folder.

    May be called by several programs at once: one fetches, the others wait and find everything done. A jar appears
    under its name only when it is complete and verified. Raises `JarsUnavailable`, `JarCorrupt`, `DiskFull`,
    `HomeUnusable`.
    """
    jars = listed_jars()
    folder = jars_folder(cache)
    if os.pathsep in str(folder):
        raise HomeUnusable(
            f"{folder} contains {os.pathsep!r}, which no class path can; set SOMA_CACHE to another folder"
        )
    if not wrong_jars(cache, jars):
        return folder
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with explained(folder), filelock.FileLock(cache / f"{folder.name}.lock", timeout=LOCK_TIMEOUT_SECONDS):
            missing = wrong_jars(cache, jars)
            if missing:
                _fetch(missing, folder, report or (lambda done, total: None), download or maven_download())
    except filelock.Timeout as error:
        raise JarsUnavailable(
            f"another program has been fetching Apache Kafka for {LOCK_TIMEOUT_SECONDS} s; run the command again"
        ) from error
    return folder


def _fetch(missing: Sequence[Jar], folder: Path, report: Report, download: Download) -> None:
    # What a killed fetch left behind is nobody's: the lock is ours.
    for leftover in folder.glob("fetching-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    total_bytes = sum(jar.size_bytes for jar in missing)
    done_bytes = 0
    counting = threading.Lock()

    def count(count_bytes: int) -> None:
        nonlocal done_bytes
        with counting:
            done_bytes += count_bytes
            report(min(done_bytes, total_bytes), total_bytes)

    private = Path(tempfile.mkdtemp(prefix="fetching-", dir=folder))
    pool = ThreadPoolExecutor(max_workers=FETCH_THREADS)
    try:
        for _ in pool.map(lambda jar: _fetch_one(jar, private, folder, count, download), missing):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(private, ignore_errors=True)


def _fetch_one(jar: Jar, private: Path, folder: Path, count: Callable[[int], None], download: Download) -> None:
    again = Retrying(
        retry=retry_if_exception_type(JarsUnavailable),
        stop=stop_after_attempt(FETCH_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=0.5, max=10),
        reraise=True,
    )
    for attempt in again:
        with attempt, explained(folder):
            # A fresh folder each time: what an attempt left half-written would pass for a cached file.
            fetched = download(jar, Path(tempfile.mkdtemp(dir=private)), count)
            if not _is_good(fetched, jar, thorough=True):
                raise JarCorrupt(
                    f"{jar.coordinate} came with a content that the closed list does not name; something between this"
                    " machine and the repository changes or cuts it"
                )
            os.replace(fetched, folder / jar.name)


def maven_download() -> Download:
    """Download through jgo, from its own default repository and those that the person's jgo settings name."""
    try:
        repositories = GlobalSettings.load().repositories
    except RuntimeError:  # no home folder to look for settings in
        repositories = {}

    def download(jar: Jar, folder: Path, count: Callable[[int], None]) -> Path:
        @contextmanager
        def counted() -> Iterator[Callable[[int], None]]:
            yield count

        def progress(_name: str, _size_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
            return counted()

        context = MavenContext(
            resolver=PythonResolver(progress_callback=progress),
            repo_cache=folder,
            timeout=FETCH_TIMEOUT_SECONDS,
        )
        context.remote_repos.update(repositories)
        group, artifact, version = jar.coordinate.split(":")
        try:
            return Path(context.project(group, artifact).at_version(version).artifact().resolve())
        except (RequestException, RuntimeError) as error:
            raise JarsUnavailable(
                f"{jar.coordinate} could not be fetched ({type(error).__name__}: {error});"
                " check the network and run the command again: what has been fetched is kept"
            ) from error

    return download


def _is_good(path: Path, jar: Jar, thorough: bool) -> bool:
    try:
        if path.stat().st_size != jar.size_bytes:
            return False
        if not thorough:
            return True
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False
