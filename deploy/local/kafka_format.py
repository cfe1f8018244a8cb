"""Giving the broker's folder its identity, once."""

import base64
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from deploy.local.errors import KafkaLogBroken, StackError, explained
from deploy.local.java import JVM_FLAGS, java_environment, java_executable
from deploy.local.kafka_settings import server_properties

FORMAT_TIMEOUT_SECONDS = 90
LOG_FOLDER = "log"
UNFINISHED_FOLDER = "log.unfinished"
IDENTITY = "meta.properties"


def ensure_formatted(folder: Path, class_path: str) -> None:
    """Make `folder/log` a formatted log folder, if it is not one yet.

    It is formatted under another name and renamed when complete, so a kill at any moment leaves either nothing or all.
    A folder without identity and without records (an older, half-made one) is moved aside; one that holds records is
    never touched: `KafkaLogBroken`.
    """
    log = folder / LOG_FOLDER
    if _has_identity(log):
        return
    if log.exists():
        if any(log.glob("*-[0-9]*/*.log")):
            raise KafkaLogBroken(
                f"{log} holds records, but its {IDENTITY} is missing or empty; put that file back, or move the folder"
                " away to start with an empty Kafka"
            )
        with explained(log):
            log.rename(folder / f"{LOG_FOLDER}.halfmade-{time.time_ns()}")
    unfinished = folder / UNFINISHED_FOLDER
    with explained(unfinished):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        properties = folder / "format.properties"
        # The ports are not kept by formatting; the tool only wants to see some.
        properties.write_text(server_properties(port=9_092, controller_port=9_093, log_folder=UNFINISHED_FOLDER))
    command = [str(java_executable()), *JVM_FLAGS, "-Dorg.apache.logging.log4j.level=WARN", "-cp", class_path]
    command += ["kafka.tools.StorageTool", "format", "--cluster-id", new_cluster_id(), "--config", properties.name]
    try:
        said = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=java_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"formatting {unfinished} took more than {FORMAT_TIMEOUT_SECONDS} s") from error
    if said.returncode != 0 or not _has_identity(unfinished):
        raise StackError(
            f"formatting {unfinished} failed; is the disk full? Java said: {(said.stderr or said.stdout)[-2_000:]}"
        )
    with explained(log):
        os.replace(unfinished, log)


def new_cluster_id() -> str:
    """A fresh id in Kafka's own form: 16 random bytes as URL-safe base64, never beginning with a dash."""
    while True:
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not identity.startswith("-"):
            return identity


def _has_identity(log: Path) -> bool:
    try:
        return "cluster.id=" in (log / IDENTITY).read_text()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return False
