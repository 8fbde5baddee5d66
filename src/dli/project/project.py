"""Find and read the project's specs with their SQL, by name or by file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec, NotFound
from dataspec.keys import MACRO_FOLDER, SEED_FOLDER, UNREAD, owner_of, shown_key, why_reserved
from dataspec.problems import MAX_KNOWN, Problem, in_reading_order, name_taken, nearest, unexpected
from dataspec.spec.detection import (
    connection_of,
    is_dataset,
    is_dataset_document,
    looks_like_dataset,
    name_of,
    tags_of,
)
from dataspec.spec.identity import check_name
from dataspec.spec.yaml_reader import MAX_YAML_BYTES, read_document
from dli.project.paths import PROJECT_FILES, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Document

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDataset:
    """A local spec, valid or not."""

    file: str
    """The file's path, relative to the current folder."""
    name: str | None
    """The dataset's name; None if it can't be read."""
    yaml: bytes = field(repr=False)
    sql: dict[str, str] = field(default_factory=dict, repr=False)
    """The text of each existing SQL file, by its path in the spec, and of each macro file and seed, by its path in the project."""
    shared: tuple[str, ...] = ()
    """The paths of the macro files and seeds that it uses, in the project; also of missing ones."""
    spec: DatasetSpec | None = None
    """None for an invalid spec."""
    part: DatasetSpec | None = None
    """The valid parts of an invalid spec that its SQL needs; None if there are too few."""
    problems: tuple[Problem, ...] = ()
    document: Document | None = field(default=None, repr=False)
    """The parsed YAML; None if it can't be parsed."""

    def checked(self) -> DatasetSpec:
        """Return the spec.

        Raises:
            InvalidSpec: With every problem of the spec.
        """
        if self.spec is None or self.problems:
            raise InvalidSpec(self.problems)
        return self.spec


class Project:
    """The specs in a project's folder.

    Args:
        root: The project's folder; SQL files outside it are not read.
        folder: The folder of the specs.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self._resolved: dict[Path, Path] = {}
        self._shared: dict[str, str | tuple[Problem, ...] | None] = {}
        """The files of the project that its specs share, or their problems, by path; None for a missing one."""

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The Dataset Specs of the project, ordered by path."""
        return tuple(
            path for path in self.yaml_files() if not _is_readable(path) or _means_dataset(_head(path))
        )

    @cached_property
    def _resolved_root(self) -> Path:
        return self.root.resolve()

    def names(self) -> list[str]:
        """Return the names of the project's datasets, of invalid ones if they can be read."""
        return [name for path in self.files if (name := name_in(_head(path)))]

    def tags(self) -> list[str]:
        """Return the tags of the project's datasets, of invalid ones if they can be read."""
        return sorted({tag for path in self.files for tag in _tags_in(_head(path))})

    def no_datasets(self) -> NotFound:
        """Return the error for a project without a Dataset Spec."""
        return NotFound(
            f"No Dataset Spec in {shown(self.folder)}.",
            detail="Set the project's folder with --path, or create a first spec: dli dataset init",
        )

    @property
    def is_made(self) -> bool:
        """Whether the folder is a project's, by its settings file."""
        return any((self.root / name).is_file() for name in PROJECT_FILES)

    def datasets(self) -> Iterator[LocalDataset]:
        """Yield every spec of the project, valid or not."""
        return map(self.read, self.files)

    def find(self, name: str) -> LocalDataset:
        """Return a spec by its name or by the path of its file.

        Raises:
            InvalidName: When it is neither a valid name nor a path.
            InvalidSpec: When two files define that name.
            NotFound: When there is no such spec; suggests the nearest name.
        """
        if is_path(name):
            return self.read(self._existing(name))
        check_name(name)
        found = [dataset for dataset in map(self.read, self._holding(name)) if dataset.name == name]
        if not found:
            raise self._unknown(name)
        if problems := duplicates(found):
            raise InvalidSpec(problems)
        return found[0]

    def connection_of(self, name: str) -> str | None:
        """Return the connection of a spec before it is checked.

        Returns:
            The connection's name; None if it can't be read, in which case :meth:`find` raises the reason.
        """
        if is_path(name):
            paths = [path for path in self._meant_by(name) if path.is_file()][:1]
        else:
            paths = list(self._holding(name))
        for path in paths:
            try:
                document = read_document(_head(path), "")
            except InvalidSpec:
                continue
            if is_path(name) or name_of(document) == name:
                return connection_of(document)
        return None

    def read(self, path: Path) -> LocalDataset:
        """Read a spec with its SQL files; errors are in its ``problems``."""
        file = shown_key(shown(path))
        body = b""
        try:
            body = self._yaml_in(path, file)
            document = read_document(body, file)
            dataset = self._dataset(path, body, document)
            misplaced = tuple(self._misplaced(path, dataset))
            return replace(dataset, problems=(*misplaced, *dataset.problems)) if misplaced else dataset
        except InvalidSpec as error:
            return LocalDataset(file=file, name=None, yaml=body, problems=error.problems)
        except MemoryError:
            raise  # the limit of a child process
        except Exception as error:  # noqa: BLE001 - reported as a problem
            return LocalDataset(file=file, name=None, yaml=body, problems=(unexpected(error, file),))

    def _misplaced(self, path: Path, dataset: LocalDataset) -> Iterator[Problem]:
        """Yield why a spec, or a SQL file of it, can't be published from its place."""
        place = self._place(path)
        if reason := why_reserved(place):
            yield Problem(f"{reason}.", dataset.file)
        if path.name.endswith(".yml.yaml") and path.with_suffix("").is_file():
            other = path.stem
            yield Problem(
                f"'{other}' lies beside it, and would share its SQL. Rename one of them.", dataset.file
            )
        described = dataset.spec or dataset.part
        for named in described.files if described else ():
            if owner_of((Path(place).parent / named).as_posix()):
                message = f"the SQL file '{named}' has a name that is reserved for published SQL. Rename it."
                yield Problem(message, dataset.file)

    def _place(self, path: Path) -> str:
        """Return a file's path within the project's folder; its name for a file elsewhere."""
        folder, real = self.folder.resolve(), self._real_folder(path)
        within = real.relative_to(folder) if real.is_relative_to(folder) else Path()
        return (within / path.name).as_posix()

    def _yaml_in(self, path: Path, file: str) -> bytes:
        if self._leads_out(path):
            raise self._outside(file)
        return _read_bytes(path, file, MAX_YAML_BYTES)

    def read_if_dataset(self, path: Path) -> LocalDataset | None:
        """Read a YAML file as :meth:`read` does; None if it is not a Dataset Spec."""
        found = self.read(path)
        if not _is_readable(path):
            return found
        if found.document is not None:
            return found if is_dataset(found.document) else None
        return found if looks_like_dataset(found.yaml or _head(path)) else None

    def _dataset(self, path: Path, body: bytes, document: Document) -> LocalDataset:
        # Imported here: loading the spec's model takes longer than finding a spec.
        from dataspec.spec.parse import parse_document
        from dataspec.sql.validation import sql_file_problems, sql_part

        spec: DatasetSpec | None = None
        problems: list[Problem] = []
        try:
            spec = parse_document(document)
        except InvalidSpec as error:
            problems += error.problems
        part = spec or sql_part(document)
        found = LocalDataset(
            file=document.file, name=name_of(document), yaml=body, spec=spec, document=document
        )
        if part is None:
            return replace(found, problems=tuple(problems))
        sql, unreadable = self._sql_of(part, path)
        used, unusable = self._shared_by(part, sql)
        shared = {path: text for path, text in used.items() if text is not None}
        found = replace(found, shared=tuple(used))
        sql, unreadable = shared | sql, unreadable | unusable
        problems += [problem for those in unreadable.values() for problem in those]
        others = list(unreadable)
        if not sql.keys() | unreadable.keys() >= set(part.files):
            others += _neighbours(path)  # suggestions for a name without a file
        if None in used.values():
            others += self._shared_files()
        known = {**dict.fromkeys(others, UNREAD), **sql}
        problems += [it for it in sql_file_problems(part, known, document) if it not in problems]
        problems = [
            replace(it, file=shown(self.root / it.file)) if it.file in shared else it for it in problems
        ]
        if spec is not None:
            return replace(found, sql=sql, problems=tuple(problems))
        return replace(found, sql=sql, part=part, problems=in_reading_order(problems, document.file))

    def _sql_of(self, spec: DatasetSpec, path: Path) -> tuple[dict[str, str], dict[str, tuple[Problem, ...]]]:
        """Return the text of each existing SQL file, and the problems of unreadable ones."""
        from dataspec.sql.validation import MAX_SQL_BYTES

        texts: dict[str, str] = {}
        unreadable: dict[str, tuple[Problem, ...]] = {}
        for named in spec.files:
            file = path.parent / named
            try:
                if file.is_file():
                    texts[named] = self.text_in(file, MAX_SQL_BYTES)
            except InvalidSpec as error:
                unreadable[named] = error.problems
            except OSError as error:
                unreadable[named] = (_unreadable(error, shown(file)),)
        return texts, unreadable

    def _shared_by(
        self, spec: DatasetSpec, sql: Mapping[str, str]
    ) -> tuple[dict[str, str | None], dict[str, tuple[Problem, ...]]]:
        """Return the files of the project that a spec's SQL uses, None for missing ones, and why some are unreadable."""
        from dataspec.sql.validation import used_files

        def read(path: str) -> str | None:
            if path not in self._shared:
                self._shared[path] = self._read_shared(path)
            found = self._shared[path]
            return UNREAD if isinstance(found, tuple) else found

        used = used_files(spec, sql, read)
        problems = {path: found for path in used if isinstance(found := self._shared[path], tuple)}
        return used | dict.fromkeys(problems), problems

    def _read_shared(self, path: str) -> str | tuple[Problem, ...] | None:
        from dataspec.sql.validation import MAX_SQL_BYTES
        from dataspec.sql.values.seeds import MAX_SEED_BYTES

        file = self.root / path
        try:
            limit = MAX_SEED_BYTES if path.startswith(SEED_FOLDER) else MAX_SQL_BYTES
            return self.text_in(file, limit) if file.is_file() else None
        except InvalidSpec as error:
            return error.problems
        except OSError as error:
            return (_unreadable(error, shown(file)),)

    def _shared_files(self) -> list[str]:
        """Return the paths of the project's macro files and seeds, as suggestions for one that does not exist."""
        found = chain((self.root / MACRO_FOLDER).rglob("*.sql"), (self.root / SEED_FOLDER).glob("*.csv"))
        return [path.relative_to(self.root).as_posix() for path in islice(found, MAX_KNOWN)]

    def text_in(self, path: Path, limit: int) -> str:
        """Return the text of a file of the project.

        Args:
            path: The file.
            limit: Its maximum size in bytes.

        Raises:
            InvalidSpec: When it is outside the project, too large, not UTF-8, or can't be read.
        """
        file = shown(path)
        if not self._holds(path):
            raise self._outside(file)
        body = _read_bytes(path, file, limit)
        try:
            return body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            column = error.start - body.rfind(b"\n", 0, error.start)
            message = f"the byte 0x{body[error.start]:02x} is not UTF-8; save the file as UTF-8."
            raise InvalidSpec([Problem(message, file, line, column)]) from None

    def _holds(self, path: Path) -> bool:
        """Return whether a file is in the project, with links resolved."""
        real = path.resolve() if path.is_symlink() else self._real_folder(path)
        return real.is_relative_to(self._resolved_root)

    def _leads_out(self, path: Path) -> bool:
        """Return whether a file in the project is a link to one outside it."""
        within = path.is_symlink() and self._real_folder(path).is_relative_to(self._resolved_root)
        return within and not self._holds(path)

    def _real_folder(self, path: Path) -> Path:
        """Return a file's folder, with links resolved."""
        folder = path.parent
        if folder not in self._resolved:
            self._resolved[folder] = folder.resolve()
        return self._resolved[folder]

    def _outside(self, file: str) -> InvalidSpec:
        return InvalidSpec([Problem(f"the file is outside the project, {self._resolved_root}.", file)])

    def yaml_files(self) -> Iterator[Path]:
        """Yield all YAML files of the project, ordered by path."""
        for folder, subfolders, names in os.walk(self.folder, onerror=_refuse_unreadable):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(_SUFFIXES))

    def _holding(self, name: str) -> Iterator[Path]:
        """Yield the specs whose text contains a name; the others need no parsing."""
        for path in self.yaml_files():
            if name.encode() in (head := _head(path)) and _means_dataset(head):
                yield path

    def _existing(self, name: str) -> Path:
        for path in self._meant_by(name):
            if path.is_file():
                return path
        hint = nearest(name, map(shown, self.files))
        raise NotFound(f"No such file: {name}", detail=hint)

    def _meant_by(self, name: str) -> tuple[Path, Path]:
        return Path(name), self.root / name

    def _unknown(self, name: str) -> NotFound:
        known = self.names()
        where = shown(self.folder)
        if not self.folder.is_dir():
            looked = f"No such folder: {where}. Set the project's folder with --path."
        else:
            looked = f"Looked in {where} ({len(known):,} dataset{'' if len(known) == 1 else 's'})."
        hint = nearest(name, known)
        return NotFound(
            f"Dataset not found in this project: {name}", detail=f"{hint}\n{looked}" if hint else looked
        )


def all_problems(datasets: Sequence[LocalDataset]) -> list[Problem]:
    """Return the problems of every dataset, and of names that are defined twice."""
    problems = dict.fromkeys(problem for dataset in datasets for problem in dataset.problems)
    return [*problems, *duplicates(datasets)]


def duplicates(datasets: Iterable[LocalDataset]) -> list[Problem]:
    """Return a problem for each name that an earlier file defines already."""
    first: dict[str, str] = {}
    problems = []
    for dataset in datasets:
        if dataset.name is None or first.setdefault(dataset.name, dataset.file) == dataset.file:
            continue
        place = read_document(dataset.yaml, dataset.file).position(("name",))
        problems.append(Problem(name_taken(dataset.name, first[dataset.name]), dataset.file, *place))
    return problems


def name_in(body: bytes) -> str | None:
    """Return the name in a spec that may be invalid otherwise."""
    try:
        return name_of(read_document(body, ""))
    except InvalidSpec:
        return None


def _tags_in(body: bytes) -> tuple[str, ...]:
    try:
        return tags_of(read_document(body, ""))
    except InvalidSpec:
        return ()


def is_path(name: str) -> bool:
    """Return whether a text is the path of a spec, not a dataset's name."""
    file_like = "/" in name or os.sep in name or name.endswith(_SUFFIXES)
    return file_like and ((name.endswith(_SUFFIXES) and os.sep in name) or Path(name).is_file())


def _neighbours(path: Path) -> list[str]:
    return [sibling.name for sibling in path.parent.glob("*.sql") if sibling.is_file()]


def _refuse_unreadable(error: OSError) -> None:
    """Refuse a folder that can't be read: its datasets are not gone, and a publish would remove them."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _is_readable(path: Path) -> bool:
    """Return False for a file without the right to read it; whether it is a dataset is not known then."""
    return os.access(path, os.R_OK) or not path.exists()


def _head(path: Path) -> bytes:
    """Return a file's bytes up to a spec's maximum size; none for an unreadable file or a device."""
    try:
        if not path.is_file():  # opening a pipe would block
            return b""
        with path.open("rb") as file:
            return file.read(MAX_YAML_BYTES)
    except OSError:
        return b""


def _means_dataset(body: bytes) -> bool:
    try:
        return is_dataset_document(body)
    except Exception:  # noqa: BLE001 - reported when the file is read again
        return looks_like_dataset(body)


def _unreadable(error: OSError, file: str) -> Problem:
    return Problem(f"the file can't be read: {error.strerror}.", file)


def _read_bytes(path: Path, file: str, limit: int) -> bytes:
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise InvalidSpec([Problem("it is not a regular file, but a pipe or a device.", file)])
        size = status.st_size
        body = path.read_bytes() if size <= limit else b""
    except OSError as error:
        raise InvalidSpec([_unreadable(error, file)]) from None
    if size > limit:
        message = f"the file has {size // 1024:,} KiB; at most {limit // 1024:,} are allowed."
        raise InvalidSpec([Problem(message, file, 1, 1)])
    return body
