"""Find files in folders by their suffixes, by the same rules for all commands and for training data."""

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path


def find_files(
    folder: Path,
    suffixes: Collection[str],
    *,
    recursive: bool = True,
    leaves_out: Callable[[Path], bool] = lambda folder: False,
    on_error: Callable[[OSError], object] = lambda error: None,
) -> list[Path]:
    """Return the files in `folder` that end in one of `suffixes` (lowercase, with their dot), sorted.

    Pipes and sockets are left out, since nobody may ever write to them. Broken links are included. Without `recursive`,
    only the folder itself is searched. For `leaves_out` and `on_error` see `walk_folders`.
    """
    found: list[Path] = []
    for parent, names in walk_folders(folder, leaves_out=leaves_out, on_error=on_error):
        named = [parent / name for name in names if os.path.splitext(name)[1].lower() in suffixes]
        found += [path for path in named if os.path.isfile(path) or not os.path.exists(path)]
        if not recursive:
            break
    return sorted(found, key=lambda path: path.parts)


def walk_folders(
    folder: Path,
    *,
    leaves_out: Callable[[Path], bool] = lambda folder: False,
    on_error: Callable[[OSError], object] = lambda error: None,
) -> Iterator[tuple[Path, list[str]]]:
    """Yield `folder` and all folders below it, each with the names of its files. Hidden folders and files are left out.

    Links to folders are followed last, and each folder is visited only once. Links to a folder above `folder` are not
    followed. `leaves_out(folder)`: whether to leave out a folder. `on_error` receives the error of an unreadable folder.
    """
    seen: set[str] = set()
    above = {str(parent) for parent in Path(os.path.realpath(folder)).parents}
    waiting = [folder]
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0), onerror=on_error):
            real = os.path.realpath(parent)
            if real in seen or real in above:
                folders[:] = []
                continue
            seen.add(real)
            yield Path(parent), [name for name in names if not name.startswith(".")]
            wanted = [name for name in sorted(folders) if not name.startswith(".")]
            wanted = [name for name in wanted if not leaves_out(Path(parent, name))]
            folders[:] = [name for name in wanted if not os.path.islink(os.path.join(parent, name))]
            waiting += [Path(parent, name) for name in wanted if name not in folders]
