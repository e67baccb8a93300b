"""The durable side of the simulated disk: what a power cut leaves, and what it may or may not leave.

A `Platter` follows the trace of a `SimDisk` operation by operation. It holds the durable image and, apart from it, every
effect that no sync has covered yet, oldest first:

- per file: *pages* (the whole page as the cache held it after a write) and *sizes* (growth and truncation alike: the size is
  one field of the inode, so the last one that survives counts). `datasync` settles all of them, in order.
- names: one effect per create, unlink, mkdir, rmdir or rename (a rename is one effect: it happens whole or not at all).
  `sync_dir` settles those that touch the directory.

`crashed` picks which pending effects survive: any subset, in any order between pages, with pages torn at sectors. Two
restrictions keep names sane: an effect brings along the older ones that touch the same name or the same inode (nothing can be
renamed to `b` that was never created as `a`), and directories moved between directories keep their order, lest they end
up inside each other.

After a failed sync the effects it covered are *lost*, as on Linux: the cache still shows them, some may have reached
the disk, and no later sync writes them unless the page (the name) is written again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from logbroker.testing.sim_image import PAGE_SIZE, SECTOR_SIZE, SECTORS_PER_PAGE, ZERO_PAGE, FileNode, Image

SIZE = -1
"""In place of a page number: the effect sets the file's size."""

GROW = -2
"""In place of a page number: the effect makes the file at least so long."""

FileEffect = tuple[int, bytes, int, int]
"""(page number, SIZE or GROW; page bytes; new size if SIZE or GROW; index of the operation)."""


class FileEffects:
    """What one file waits to make durable; the first `lost` effects are those a failed sync dropped."""

    __slots__ = ("effects", "lost", "modified_ms")

    def __init__(self, effects: list[FileEffect], lost: int, modified_ms: int) -> None:
        self.effects = effects
        self.lost = lost
        self.modified_ms = modified_ms


class NameEffect:
    """One change of names: entries to remove, then perhaps one to add.

    `keys` are the (directory, name) pairs and the inode it touches, for the order between effects.
    """

    __slots__ = ("added", "at", "directories", "keys", "lost", "removed")

    def __init__(
        self,
        at: int,
        removed: tuple[tuple[int, str], ...],
        added: tuple[int, str, int] | None,
        inode: int,
        *,
        moves_tree: bool = False,
        lost: bool = False,
    ) -> None:
        self.at = at
        self.removed = removed
        self.added = added
        self.lost = lost
        keys: set[object] = {*removed, inode}
        self.directories = {directory for directory, _ in removed}
        if added is not None:
            keys.add(added[:2])
            self.directories.add(added[0])
        if moves_tree:
            keys.add("tree")
        self.keys = frozenset(keys)

    def as_lost(self) -> NameEffect:
        """The same effect after a failed sync."""
        other = NameEffect.__new__(NameEffect)
        other.at, other.removed, other.added, other.lost = self.at, self.removed, self.added, True
        other.keys, other.directories = self.keys, self.directories
        return other

    def apply(self, image: Image) -> None:
        """Carry it out."""
        for directory, name in self.removed:
            image.own_directory(directory).entries.pop(name, None)
        if self.added is not None:
            directory, name, inode = self.added
            image.own_directory(directory).entries[name] = inode


class Platter:
    """A durable image and the effects that wait. Immutable effects, mutable lists; see the module."""

    __slots__ = ("durable", "files", "names")

    def __init__(self, durable: Image) -> None:
        self.durable = durable
        self.files: dict[int, FileEffects] = {}
        self.names: list[NameEffect] = []

    def fork(self) -> Platter:
        """An independent copy."""
        other = Platter(self.durable.fork())
        other.files = {
            inode: FileEffects(file.effects.copy(), file.lost, file.modified_ms)
            for inode, file in self.files.items()
        }
        other.names = self.names.copy()
        return other

    # Operations, as the trace replays them.

    def write(
        self,
        at: int,
        inode: int,
        pages: Iterable[tuple[int, bytes]],
        size: int | None,
        modified_ms: int,
        reach: int = 0,
    ) -> None:
        """Pages written through the cache, and the new size if it changed (sizes apply before pages when it shrinks).

        `reach` is where the file ends with these pages: if the sync is lost that made it so long, writing them again
        makes it so long again, as Linux' file systems move the size on disk along with what they write behind it.
        """
        file = self.files.get(inode)
        if file is None:
            file = self.files[inode] = FileEffects([], 0, modified_ms)
        if size is not None:
            file.effects.append((SIZE, b"", size, at))
        elif file.lost and reach:
            file.effects.append((GROW, b"", reach, at))
        file.effects.extend([(number, page, 0, at) for number, page in pages])
        file.modified_ms = modified_ms

    def sync_file(self, inode: int) -> None:
        """Settle everything that waits in this file, except what a failed sync lost."""
        file = self.files.get(inode)
        if file is None or file.lost == len(file.effects):
            return
        node = self.durable.own_file(inode)
        node.modified_ms = file.modified_ms
        left = file.effects[: file.lost]
        settled = file.effects[file.lost :]
        for effect in settled:
            _apply_file_effect(node, effect)
        if left:
            left = _not_superseded(left, settled)
        if left:
            self.files[inode] = FileEffects(left, len(left), file.modified_ms)
        else:
            del self.files[inode]

    def lose_file(self, inode: int) -> None:
        """A sync of this file failed: its pages are clean now, wherever their bytes are."""
        file = self.files.get(inode)
        if file is not None:
            file.lost = len(file.effects)

    def sync_directory(self, directory: int) -> None:
        """Settle every change of names in this directory, and the older changes those rest on."""
        chosen = [not effect.lost and directory in effect.directories for effect in self.names]
        if True not in chosen:
            return
        _close_over_older(self.names, chosen)
        for effect, settled in zip(self.names, chosen, strict=True):
            if settled:
                effect.apply(self.durable)
        self.names = [effect for effect, settled in zip(self.names, chosen, strict=True) if not settled]

    def sync_all(self) -> None:
        """Settle everything but what a failed sync lost."""
        for inode in list(self.files):
            self.sync_file(inode)
        chosen = [not effect.lost for effect in self.names]
        _close_over_older(self.names, chosen)
        for effect, settled in zip(self.names, chosen, strict=True):
            if settled:
                effect.apply(self.durable)
        self.names = [effect for effect, settled in zip(self.names, chosen, strict=True) if not settled]

    def lose_directory(self, directory: int) -> None:
        """A sync of this directory failed."""
        self.names = [
            effect.as_lost() if directory in effect.directories else effect for effect in self.names
        ]

    # What is left.

    def cached(self) -> Image:
        """The image with every effect applied: what the page cache shows (and a killed process finds again)."""
        image = self.durable.fork()
        for effect in self.names:
            effect.apply(image)
        for inode, file in self.files.items():
            node = image.own_file(inode)
            node.modified_ms = file.modified_ms
            for file_effect in file.effects:
                _apply_file_effect(node, file_effect)
        return image

    def crashed(self, rng: random.Random) -> tuple[Image, int]:
        """What a power cut leaves, as `rng` decides, and a number that stands for the decision."""
        image = self.durable.fork()
        names = self.names
        files = [(inode, file) for inode, file in self.files.items() if file.effects]
        if not names and not files:
            return image, 0
        keep = _choose(names, [file for _, file in files], rng)
        name_keep = keep[: len(names)]
        _close_over_older(names, name_keep)
        for effect, survives in zip(names, name_keep, strict=True):
            if survives:
                effect.apply(image)
        torn = _choose_torn(keep, len(names), files, rng)
        index = len(names)
        for inode, file in files:
            stop = index + len(file.effects)
            if True in keep[index:stop]:
                _survive(image.own_file(inode), file.effects, keep[index:stop], index, torn)
            index = stop
        decision = hash((tuple(name_keep), tuple(keep[len(names) :]), tuple(sorted(torn.items()))))
        return image, decision

    def evict(self, rng: random.Random) -> None:
        """Clean pages leave the cache: decide, for good, which of the lost effects had reached the disk."""
        for inode, file in list(self.files.items()):
            if file.lost:
                node = self.durable.own_file(inode)
                reached = [rng.random() < 0.3 for _ in range(file.lost)]
                _survive(node, file.effects[: file.lost], reached, 0, {})
                file.effects = file.effects[file.lost :]
                file.lost = 0


def _apply_file_effect(node: FileNode, effect: FileEffect) -> None:
    number, page, size, _ = effect
    if number == SIZE:
        node.resize(size)
    elif number == GROW:
        node.size = max(node.size, size)
    else:
        node.pages[number] = page


def _survive(
    node: FileNode, effects: list[FileEffect], keep: list[bool], first: int, torn: dict[int, int]
) -> None:
    """Apply the effects that survive, torn ones by sector, and drop what lies beyond the size that survived."""
    for index, effect in enumerate(effects):
        if not keep[index]:
            continue
        mask = torn.get(first + index)
        if mask is None:
            _apply_file_effect(node, effect)
        else:
            older = node.pages.get(effect[0], ZERO_PAGE)
            node.pages[effect[0]] = b"".join(
                (effect[1] if mask >> sector & 1 else older)[
                    sector * SECTOR_SIZE : (sector + 1) * SECTOR_SIZE
                ]
                for sector in range(SECTORS_PER_PAGE)
            )
    node.trim()


def _not_superseded(lost: list[FileEffect], settled: list[FileEffect]) -> list[FileEffect]:
    """The lost effects that a later, successful sync did not overwrite."""
    pages = {effect[0] for effect in settled if effect[0] >= 0}
    sizes = [effect[2] for effect in settled if effect[0] == SIZE]
    grown = max([effect[2] for effect in settled if effect[0] == GROW], default=0)
    kept = [effect for effect in lost if effect[0] not in pages and (effect[0] != SIZE or effect[2] > grown)]
    if sizes:
        limit = -(-min(sizes) // PAGE_SIZE)
        kept = [effect for effect in kept if effect[0] != SIZE and effect[0] < limit]
    return kept


def _close_over_older(effects: list[NameEffect], chosen: list[bool]) -> None:
    """Choose also the older effects that a chosen one rests on: same name or same inode."""
    needed: set[object] = set()
    for index in range(len(effects) - 1, -1, -1):
        keys = effects[index].keys
        if chosen[index] or not needed.isdisjoint(keys):
            chosen[index] = True
            needed |= keys


def _choose(names: list[NameEffect], files: list[FileEffects], rng: random.Random) -> list[bool]:
    """Which effects survive: the extremes as often as the random middle, since that is where mistakes show."""
    total = len(names) + sum(len(file.effects) for file in files)
    strategy = rng.randrange(12)
    if strategy == 0:
        keep = [False] * total
    elif strategy == 1:
        keep = [True] * total
    elif strategy in (2, 3):  # all but one, only one
        keep = [strategy == 2] * total
        keep[rng.randrange(total)] = strategy == 3
    elif strategy == 4:  # a drive that writes in order, some way behind
        times = [effect.at for effect in names]
        for file in files:
            times.extend([effect[3] for effect in file.effects])
        cut = rng.choice(times)
        keep = [at < cut for at in times]
    elif strategy == 5:  # every file, and every change of names, wholly or not at all
        keep = [rng.random() < 0.5 for _ in names]
        for file in files:
            keep.extend([rng.random() < 0.5] * len(file.effects))
    elif strategy in (6, 7):  # names without data, data without names
        keep = [strategy == 6] * len(names) + [strategy == 7] * (total - len(names))
    else:
        bits = rng.getrandbits(total)
        if strategy == 9:
            bits &= rng.getrandbits(total) & rng.getrandbits(total)
        elif strategy == 10:
            bits |= rng.getrandbits(total) | rng.getrandbits(total)
        keep = [digit == "1" for digit in f"{bits:0{total}b}"]
    _choose_lost(keep, names, files, rng)
    return keep


def _choose_lost(
    keep: list[bool], names: list[NameEffect], files: list[FileEffects], rng: random.Random
) -> None:
    """What a failed sync lost mostly isn't on the disk, whatever happened to the rest."""
    chance = rng.choice((0.0, 0.0, 0.5, 1.0))
    for index, effect in enumerate(names):
        if effect.lost:
            keep[index] = rng.random() < chance
    index = len(names)
    for file in files:
        for lost in range(file.lost):
            keep[index + lost] = rng.random() < chance
        index += len(file.effects)


def _choose_torn(
    keep: list[bool], first: int, files: list[tuple[int, FileEffects]], rng: random.Random
) -> dict[int, int]:
    """Up to three surviving pages, as index -> bits of the sectors that were written."""
    if rng.random() < 0.5:
        return {}
    pages = []
    index = first
    for _, file in files:
        for effect in file.effects:
            if keep[index] and effect[0] >= 0:
                pages.append(index)
            index += 1
    if not pages:
        return {}
    chosen = {pages[-1] if rng.random() < 0.3 else rng.choice(pages) for _ in range(rng.randint(1, 3))}
    return {index: _torn_sectors(rng) for index in sorted(chosen)}


def _torn_sectors(rng: random.Random) -> int:
    """A prefix of the page as often as an arbitrary set of its sectors; never none and never all."""
    if rng.random() < 0.5:
        return int((1 << rng.randrange(1, SECTORS_PER_PAGE)) - 1)
    return rng.randrange(1, (1 << SECTORS_PER_PAGE) - 1)
