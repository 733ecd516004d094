"""Hooks as GitHub, Gitea and Forgejo show them."""

from pydantic import BaseModel, TypeAdapter

from services.api.forges.port import Hook


class _Config(BaseModel):
    url: str = ""


class _Hook(BaseModel):
    id: int
    config: _Config = _Config()


_HOOKS = TypeAdapter(list[_Hook])


def _plain(hook: _Hook) -> Hook:
    return Hook(str(hook.id), hook.config.url)


def read(body: bytes) -> list[Hook]:
    """Those of a list; raises `pydantic.ValidationError`."""
    return [_plain(hook) for hook in _HOOKS.validate_json(body)]


def made(body: bytes) -> Hook:
    """A single one; raises `pydantic.ValidationError`."""
    return _plain(_Hook.model_validate_json(body))
