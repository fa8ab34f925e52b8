"""Config: what a user has written down once, in a file: which broker, which instance, what output."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

OTHERS = 0o077
"""The rights of everybody but the owner."""

Output = Literal["human", "json"]


class ConfigError(Exception):
    """The file, or a variable, makes no sense; the sentence says which and what would do."""


class Config(BaseModel):
    """The file's content: all of it may be missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    broker: str | None = None
    instance: str | None = None
    output: Output = "human"
    call_timeout: float = Field(default=60.0, gt=0)


def place_of(environment: Mapping[str, str]) -> Path:
    """Where the file is: `XENOPS_CONFIG`, or `xenops/config.toml` in `XDG_CONFIG_HOME` (~/.config)."""
    named = environment.get("XENOPS_CONFIG")
    if named:
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or "/") / ".config"
    return Path(home) / "xenops" / "config.toml"


def read_config(environment: Mapping[str, str]) -> Config:
    """What the file says, and over it `XENOPS_BROKER`, `XENOPS_INSTANCE` and `XENOPS_OUTPUT`.

    Raises:
        ConfigError: one of them makes no sense; or `XENOPS_CONFIG` names a file that is not there.
    """
    path = place_of(environment)
    values = _values(path, is_named="XENOPS_CONFIG" in environment)
    config = _config(values, str(path))
    if config.broker and _has_secret(config.broker) and path.stat().st_mode & OTHERS:
        raise ConfigError(f"{path} has a broker's password and others may read it: `chmod 600 {path}`")
    said = {name: environment.get(f"XENOPS_{name.upper()}") for name in ("broker", "instance", "output")}
    over = {name: value for name, value in said.items() if value}
    return _config({**config.model_dump(), **over}, "XENOPS_OUTPUT")


def _values(path: Path, *, is_named: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        if is_named:
            raise ConfigError(f"there is no {path}, which XENOPS_CONFIG names") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def _config(values: dict[str, Any], where: str) -> Config:
    try:
        return Config.model_validate(values, strict=False)
    except ValidationError as error:
        raise ConfigError("; ".join(f"{where}: {_complaint(dict(one))}" for one in error.errors())) from error


def _complaint(error: dict[str, Any]) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{name} is no setting: there are {', '.join(Config.model_fields)}"
    return f"{name}: {error['msg']}, not {error['input']!r}"


def _has_secret(urls: str) -> bool:
    return any(urlsplit(url.strip()).password for url in urls.split(",amqp"))
