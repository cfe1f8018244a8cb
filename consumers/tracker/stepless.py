"""PURE: the part of a lane's memory that is about running steps, for a memory that runs none."""

from consumers.runtime.memory import Memory
from producers.records import Headers


class Stepless(Memory):
    """Nothing is paused, suspected or held back."""

    @property
    def deferrable(self) -> tuple[str, ...]:
        return ()

    def ignores(self, headers: Headers) -> bool:
        return False

    def paused(self) -> dict[str, str]:
        return {}

    def ends_of_steps(self) -> dict[str, int]:
        return {}

    def pause(self, causes: dict[str, str], ends: dict[str, int]) -> None:
        return

    def is_held_back(self) -> bool:
        return False

    def backlog_bytes(self) -> int:
        return 0

    def has_suspects(self) -> bool:
        return False

    def try_suspects(self, all_of_them: bool, in_turn: bool) -> list[tuple[str, str]]:
        return []

    def release(self, mark: tuple[str, str]) -> None:
        return

    def is_suspect(self, mark: tuple[str, str]) -> bool:
        return False
