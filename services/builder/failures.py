"""Why a build failed, said so that its reader can act. Pure: from what BuildKit said to a failure."""

import re
from dataclasses import dataclass

from services.builder.dockerfile import Dockerfile
from services.builder.progress import Progress, Step
from shared.work import StepFailure

_EXIT = re.compile(r"exit code: (\d+)")
_PARSE = re.compile(r"(?:dockerfile )?parse error (?:on )?line (\d+): (.*)", re.IGNORECASE)
_IMAGE = re.compile(r"(?:load metadata for|resolve image config for|FROM) (?:docker-image://)?(\S+)")
_AWAY = ("failed to do request", "dial tcp", "no such host", "i/o timeout", "tls handshake", "connection refused", "connection reset")
_BUSY = re.compile(r"\bstatus\b.*: ((?:429|5\d\d)\b.*)|(toomanyrequests\b.*)")
_DENIED = ("pull access denied", "unauthorized", "insufficient_scope", "403 forbidden", "authorization failed")
_WRAPPING = re.compile(
    r"(?:ERROR|failed to solve(?: with frontend \S+)?|failed to create LLB definition|failed to compute cache key|executor failed running \[.*?\]): "
)
_KILLED = 137
_KILLED_WORDS = ("killed", "sigkill", "signal 9", "signal: 9", "out of memory", "cannot allocate memory")
_MIB = 2**20
TAIL = 20


@dataclass(frozen=True)
class Build:
    """What was built from what, for the words of a failure."""

    service: str
    dockerfile_path: str
    dockerfile: Dockerfile
    context: str
    memory_bytes: int | None
    limit_was_hit: bool = False
    """Some build ran into the limit meanwhile; by itself that may only have cost it cached pages."""


def failure_of(build: Build, progress: Progress) -> StepFailure:
    """The failure that a build ended with."""
    step = progress.failed
    reason = (step.error if step and step.error else progress.last_line) or "BuildKit gave no reason"
    details = "\n".join(progress.closing)
    low = f"{reason}\n{details}".lower()
    if "no space left on device" in low:
        return StepFailure("no_space", _no_space(build), details=details, log_tail=_tail(step), may_pass=True)
    if image := _image(step):
        return _base_image(build, image, reason, low, details)
    if found := _PARSE.search(details) or _PARSE.search(reason):
        message = f"{build.dockerfile_path}, line {found[1]}: {found[2]}"
        return StepFailure("dockerfile_invalid", message, details=details)
    if "failed to create endpoint" in low:
        message = f"the container engine cannot give build steps a network; restarting it usually mends that: {_unwrapped(reason)}"
        return StepFailure("engine_network_broken", message, details=details, may_pass=True)
    if step is not None and not step.is_internal:
        return _step(build, step, reason, details)
    message = f"{build.dockerfile_path} cannot be built: {_unwrapped(reason)}"
    code = (
        "dockerfile_invalid" if any(sign in low for sign in ("target stage", "should not be blank", "cannot be empty")) else "build_failed"
    )
    return StepFailure(code, message, details=details, log_tail=tuple(progress.closing)[-TAIL:])


def timed_out(build: Build, progress: Progress, limit_s: float) -> StepFailure:
    """The failure of a build that took too long."""
    step = progress.running
    at = f" It was at {_where(build, step)}." if step else ""
    message = f"The build of {build.service} did not end within {limit_s:g} s.{at}"
    return StepFailure("build_timed_out", message, log_tail=_tail(step))


def _step(build: Build, step: Step, reason: str, details: str) -> StepFailure:
    where = _where(build, step)
    exited = _EXIT.search(reason)
    status = int(exited[1]) if exited else None
    if status == _KILLED or (status is not None and build.limit_was_hit and _says_killed(step)):
        limit = f" All builds together may use {build.memory_bytes // _MIB} MiB (SLIPWAY_BUILD_MEMORY_BYTES)." if build.memory_bytes else ""
        advice = "Make the step need less (fewer parallel jobs, a smaller heap), or allow builds more memory."
        message = f"{where} was killed because it ran out of memory (exit code {status}).{limit} {advice}"
        return StepFailure("build_out_of_memory", message, details=details, log_tail=_tail(step))
    if re.search(r"secret \S+ not found", reason):
        message = f"{where} needs a secret that it was not given: {reason}. Name it under build.secrets, and set it with `slipway secret`"
        return StepFailure("secret_missing", message, details=details)
    if status is not None:
        message = f"{where} failed with exit code {status}"
    elif found := re.search(r'"([^"]+)"[^"]*not found', reason):
        message = f"{where} failed: {found[1]} is not in the build context ({build.context}), or .dockerignore leaves it out"
    else:
        message = f"{where} failed: {_unwrapped(reason)}"
    return StepFailure("dockerfile_failed", message, details=details, log_tail=_tail(step) or (reason,))


def _base_image(build: Build, image: str, reason: str, low: str, details: str) -> StepFailure:
    what = f"the image {image}" if build.dockerfile.syntax is None else f"the image {image} (asked for by FROM or by the `# syntax=` line)"
    host = image.split("/", 1)[0]
    if busy := _BUSY.search(reason):
        message = f"{build.dockerfile_path}: {what} cannot be pulled for now: its registry ({host}) answers {busy[1] or busy[2]}"
        return StepFailure("base_image_unreachable", message, details=details, may_pass=True)
    if any(sign in low for sign in _DENIED):
        message = f"{build.dockerfile_path}: {what} does not exist, or the registry wants to know who pulls it"
        return StepFailure("base_image_missing", message, details=details)
    if any(sign in low for sign in _AWAY):
        message = (
            f"{build.dockerfile_path}: {what} cannot be pulled, because its registry ({host}) cannot be reached from here. "
            "Check the network, or set a base image that can be reached (a build argument, or SLIPWAY_BUILD_ARGS)"
        )
        return StepFailure("base_image_unreachable", message, details=details, may_pass=True)
    if "not found" in low:
        return StepFailure("base_image_missing", f"{build.dockerfile_path}: {what} does not exist", details=details)
    return StepFailure("base_image_failed", f"{build.dockerfile_path}: {what} cannot be used: {_unwrapped(reason)}", details=details)


def _image(step: Step | None) -> str | None:
    """The image that a failed step was to load, if that is what it was to do."""
    found = _IMAGE.search(step.title) if step else None
    return found[1].rstrip(":") if found else None


def _says_killed(step: Step) -> bool:
    said = "\n".join(step.tail).lower()
    return any(word in said for word in _KILLED_WORDS)


def _where(build: Build, step: Step) -> str:
    instruction = build.dockerfile.find(step.title)
    if instruction is None:
        return f"{build.dockerfile_path}: step {step.title}"
    return f"{build.dockerfile_path}, line {instruction.line}: `{_short(instruction.text)}`"


def _no_space(build: Build) -> str:
    return f"The disk of the container engine is full; the build of {build.service} could not go on. Free some space (docker system df shows what takes it)"


def _unwrapped(reason: str) -> str:
    """BuildKit's reason without the layers that passed it on."""
    while inner := _WRAPPING.match(reason):
        reason = reason[inner.end() :]
    return reason


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}…"


def _tail(step: Step | None) -> tuple[str, ...]:
    return tuple(step.tail)[-TAIL:] if step else ()
