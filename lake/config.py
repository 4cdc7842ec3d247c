"""Settings: flags, then ``LAKE_*`` variables, then ``lake.toml`` in the lake, then defaults.

An unknown key is an error, wherever it stands: a setting that is misspelt must not be silently
without effect. Where each value came from is kept, and `lake doctor` prints it. Secrets are no
settings: public data needs none, and a key is never read from a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lake.errors import InvalidRequest

FILE_NAME = "lake.toml"
_PREFIX = "LAKE_"
# Read elsewhere (where the lake lies), or by the test bench only.
_OTHER_VARIABLES = frozenset({"LAKE_DATA"})
_TEST_PREFIX = "LAKE_TEST_"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE_MAX = 2**60
DEFAULT_RATE_SHARE = 0.8
_WORKERS_MAX = 64  # more open connections than any venue allows one address

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: how its text is read, what it is where nobody says, and what it means."""

    name: str
    read: Callable[[object], Value]
    default: Value
    meaning: str

    @property
    def variable(self) -> str:
        return _PREFIX + self.name.upper()


@dataclass(frozen=True, slots=True)
class Keep:
    """One ``[[keep]]`` of lake.toml: what `lake update` holds up to date.

    No timeframes: none was named.
    """

    venue: str
    instruments: tuple[str, ...]
    timeframes: tuple[str, ...]
    start: str
    type: str = "ohlcv"


@dataclass(frozen=True, slots=True)
class Settings:
    """The values in force, and for each where it came from."""

    values: Mapping[str, Value]
    origins: Mapping[str, str]
    keep: tuple[Keep, ...] = field(default=())

    @property
    def rate_share(self) -> float:
        value = self.values["rate_share"]
        assert isinstance(value, float)
        return value

    @property
    def max_workers(self) -> int:
        value = self.values["max_workers"]
        assert isinstance(value, int)
        return value

    @property
    def min_free(self) -> int:
        value = self.values["min_free"]
        assert isinstance(value, int)
        return value

    @property
    def base_url(self) -> str | None:
        value = self.values["base_url"]
        assert value is None or isinstance(value, str)
        return value

    @property
    def archive_url(self) -> str | None:
        value = self.values["archive_url"]
        assert value is None or isinstance(value, str)
        return value

    @property
    def source(self) -> str:
        value = self.values["source"]
        assert isinstance(value, str)
        return value

    @property
    def accept_base_url(self) -> bool:
        return self.values["accept_base_url"] is True


def _share(value: object) -> float:
    share = float(str(value))
    if not 0 < share <= 1:
        raise ValueError("it is not above 0 and at most 1")
    return share


def _workers(value: object) -> int:
    workers = int(str(value))
    if not 1 <= workers <= _WORKERS_MAX:
        raise ValueError(f"it is not from 1 to {_WORKERS_MAX}")
    return workers


def _size(value: object) -> int:
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise ValueError("it is not a size such as 2GiB")
    size = float(found[1]) * _SIZE_UNITS[found[2].lower().rstrip("b").rstrip("i")]
    if size > _SIZE_MAX:
        raise ValueError("no disk is so large")
    return int(size)


def _flag(value: object) -> bool:
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("it is neither true nor false")


def _url(value: object) -> str:
    url = str(value).rstrip("/")
    if not re.fullmatch(r"https?://[^\s/]\S*", url):
        raise ValueError("it does not start with http:// or https://, or has blanks")
    parts = urlsplit(url)  # a ValueError of its own for brackets that do not close
    if not parts.hostname or parts.port == 0:
        raise ValueError("it names no host")
    if parts.query or parts.fragment:
        raise ValueError("it has a query or a fragment: only scheme, host, port and path are used")
    return url


def _source(value: object) -> str:
    word = str(value).strip().lower()
    if word not in ("auto", "archive", "rest"):
        raise ValueError("it is none of auto, archive, rest")
    return word


SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "rate_share",
            _share,
            DEFAULT_RATE_SHARE,
            "share of a venue's rate limit that may be used",
        ),
        Setting("max_workers", _workers, 8, "requests in flight at once"),
        Setting("min_free", _size, 2 << 30, "bytes that stay free on the disk"),
        Setting("base_url", _url, None, "proxy, mirror or `lake serve` that answers for the venue"),
        Setting("accept_base_url", _flag, False, "the base URL is a mirror of the real venue"),
        Setting("archive_url", _url, None, "root of a copy of the vendor's archive"),
        Setting("source", _source, "auto", "where rows come from: auto, archive or rest"),
    )
}


def load(
    root: Path | None, *, environment: Mapping[str, str], flags: Mapping[str, Value]
) -> Settings:
    """The settings in force for the lake at *root* (None: no lake, so no file).

    Args:
        root: The lake; its ``lake.toml`` is read where there is one.
        environment: The process's variables.
        flags: What the command line said; None means that it said nothing.

    Raises:
        InvalidRequest: A key is unknown or a value cannot be read; the message says where.
    """
    table, keep, file = _read_file(root)
    _refuse_unknown_variables(environment)
    values: dict[str, Value] = {}
    origins: dict[str, str] = {}
    where: str
    raw: object
    for name, setting in SETTINGS.items():
        if flags.get(name) is not None:
            where, raw = f"--{name.replace('_', '-')}", flags[name]
        elif environment.get(setting.variable):
            where, raw = setting.variable, environment[setting.variable]
        elif name in table:
            where, raw = str(file), table[name]
        else:
            values[name], origins[name] = setting.default, "default"
            continue
        try:
            values[name], origins[name] = setting.read(raw), where
        except (ValueError, OverflowError) as error:
            raise InvalidRequest(
                f"{name} = {raw!r} ({where}) cannot be used: {error}. It is the {setting.meaning}."
            ) from error
    return Settings(values, origins, keep)


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {setting.variable for setting in SETTINGS.values()} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith(_PREFIX) and not name.startswith(_TEST_PREFIX) and name not in known:
            raise InvalidRequest(
                f"The variable {name} is no setting of the lake. "
                f"Unset it, or use one of: {', '.join(sorted(known))}."
            )


def _read_file(root: Path | None) -> tuple[dict[str, object], tuple[Keep, ...], Path | None]:
    if root is None:
        return {}, (), None
    file = root / FILE_NAME
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}, (), None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}. Mend or remove it.") from error
    entries = table.pop("keep", [])
    for name in table:
        if name not in SETTINGS:
            raise InvalidRequest(
                f"The key {name!r} in {file} is no setting of the lake. "
                f"Remove it, or use one of: {', '.join(SETTINGS)}, keep."
            )
    if not isinstance(entries, list):
        raise InvalidRequest(f"keep in {file} is not a list. Write each as [[keep]].")
    return table, tuple(_keep(entry, file) for entry in entries), file


_KEEP_KEYS = ("venue", "instruments", "timeframes", "start", "type")


def _keep(entry: object, file: Path) -> Keep:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"keep in {file} is not a list of tables. Write each as [[keep]].")
    for name in entry:
        if name not in _KEEP_KEYS:
            raise InvalidRequest(
                f"The key {name!r} of a [[keep]] in {file} is unknown. "
                f"Use: {', '.join(_KEEP_KEYS)}."
            )
    missing = [name for name in ("venue", "instruments", "start") if name not in entry]
    if missing:
        raise InvalidRequest(f"A [[keep]] in {file} lacks {', '.join(missing)}. Add it.")
    return Keep(
        venue=str(entry["venue"]),
        instruments=_texts(entry["instruments"]),
        timeframes=_texts(entry["timeframes"]) if "timeframes" in entry else (),
        start=str(entry["start"]),
        type=str(entry.get("type", "ohlcv")),
    )


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(each) for each in value)
    return tuple(re.split(r"[,\s]+", str(value).strip()))
