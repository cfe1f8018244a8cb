"""Deliberate bugs, written by hand: each breaks a promise, and the simulation has to find it."""

from typing import NamedTuple


class Bug(NamedTuple):
    """One piece of a module's text, which stands there once, replaced by another."""

    name: str
    path: str
    old: str
    new: str


RUNTIME = "consumers/runtime"

BUGS = (
    Bug(
        "position before state",
        f"{RUNTIME}/lane.py",
        "            state[POSITION_KEY] = msgspec.msgpack.encode(position)\n",
        "            await self.transport.commit([], {POSITION_KEY: msgspec.msgpack.encode(position)})\n",
    ),
    Bug(
        "state outside the transaction",
        f"{RUNTIME}/lane.py",
        "            told = await self.transport.commit(snapshot.said, state)\n",
        "            told = await self.transport.commit(snapshot.said, {})\n"
        "            await self.transport.commit([], state)\n",
    ),
    Bug(
        "restore before fencing",
        f"{RUNTIME}/lane.py",
        "            await self.transport.open()\n            position = await self._restore()\n",
        "            position = await self._restore()\n            await self.transport.open()\n",
    ),
    Bug(
        "a slice of the backlog is committed as the new life's own",
        f"{RUNTIME}/lane.py",
        "        if self._former is not None:\n            # Nothing",
        "        if False:\n            # Nothing",
    ),
    Bug(
        "a life that goes on forgets what it had started",
        f"{RUNTIME}/former_life.py",
        "position is None or position.clean:",
        "position is None or position.clean or position.owner == life:",
    ),
    Bug(
        "what was running is not started again",
        f"{RUNTIME}/former_life.py",
        '        if item.state == "running":\n',
        '        if item.state == "running" and ending == "crashed":\n',
    ),
    Bug(
        "an unknown outcome is not waited for",
        f"{RUNTIME}/hearing.py",
        "            if last.unknown_until > at:\n",
        "            if last.unknown_until > at and False:\n",
    ),
    Bug(
        "an unknown outcome is waited for from the end's time in the log",
        f"{RUNTIME}/hearing.py",
        'item.state, item.due = "delayed", last.unknown_until',
        'item.state, item.due = "delayed", at + step.timeout_seconds',
    ),
    Bug(
        "a success forgets the unknown outcome of an earlier attempt",
        f"{RUNTIME}/finishing.py",
        "Done(item.id, item.step, item.message, fact, item.unknown_until)",
        "Done(item.id, item.step, item.message, fact)",
    ),
    Bug(
        "an item that is given up forgets its unknown outcome",
        f"{RUNTIME}/hearing.py",
        "Done(item.id, item.step, item.message, None, item.unknown_until)",
        "Done(item.id, item.step, item.message, None)",
    ),
    Bug(
        "what stood in the backlog has not begun",
        f"{RUNTIME}/ledger.py",
        '        if ending != "clean":\n            for item in self._carrier.named_as_before(journal, ready):\n',
        "        if False:\n            for item in self._carrier.named_as_before(journal, ready):\n",
    ),
    Bug(
        "a lost lane still calls the far side",
        f"{RUNTIME}/lease.py",
        "return not self._is_over and self._owns()",
        "return True",
    ),
    Bug(
        "undo twice",
        f"{RUNTIME}/finishing.py",
        "        undone = journal.done.pop()\n",
        "        undone = journal.done[-1]\n"
        "        journal.done[:] = journal.done if journal.undone == 0 else journal.done[:-1]\n",
    ),
    Bug(
        "an undo is lost after a crash",
        f"{RUNTIME}/hearing.py",
        "step.undo is not None and not lacks_legs(item, step)\n",
        "step.undo is not None and not lacks_legs(item, step) and not item.unknown_until\n",
    ),
    Bug(
        "a later end wins",
        f"{RUNTIME}/hearing.py",
        "    if journal.end is None:\n        journal.end = end\n",
        "    if True:\n        journal.end = end\n",
    ),
    Bug(
        "a timer fires before the backlog is read",
        f"{RUNTIME}/finishing.py",
        '    return item.command or item.state in ("waiting", "joining")\n',
        "    return item.command\n",
    ),
    Bug(
        "a command is judged without a read barrier",
        f"{RUNTIME}/finishing.py",
        '    return item.command or item.state in ("waiting", "joining")\n',
        '    return item.state in ("waiting", "joining")\n',
    ),
    Bug(
        "the end is decided by its participant, not by the log",
        f"{RUNTIME}/finishing.py",
        "    if view.is_door and journal.closed_at is None and wire_type in view.graph.sayers:\n",
        "    if wire_type in view.ends and journal.end is None:\n"
        "        from consumers.runtime.journal import End\n\n"
        "        journal.end = End(wire_type, said_id, failing=wire_type not in view.completions)\n"
        "    if view.is_door and journal.closed_at is None and wire_type in view.graph.sayers:\n",
    ),
    Bug(
        "it settles while an attempt is in flight",
        f"{RUNTIME}/hearing.py",
        'any(item.state == "running" or item.undoes for item',
        "any(item.undoes for item",
    ),
    Bug(
        "the door does not wait for its own event",
        f"{RUNTIME}/finishing.py",
        "        journal.awaiting.append(said_id)\n",
        "        pass\n",
    ),
    Bug(
        "the order across participants is ignored",
        f"{RUNTIME}/hearing.py",
        "        if not owed:\n",
        "        if True:\n",
    ),
    Bug(
        "answered commands are forgotten",
        f"{RUNTIME}/finishing.py",
        "    journal.answered.append(item.message.key)\n",
        "    pass\n",
    ),
)
