"""Reads Dockerfiles and .dockerignore files, as far as ours use them, and follows a stage's steps without Docker.

Small and honest: what it does not know it refuses (:class:`NotUnderstood`), so that a test cannot pass by skipping.
"""

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class NotUnderstood(Exception):
    """The file says something that this reader does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    keyword: str
    value: str

    def words(self) -> list[str]:
        """The words of the JSON form; raises :class:`NotUnderstood` for the shell form."""
        if not self.value.startswith("["):
            raise NotUnderstood(f"{self.keyword} {self.value}: expected the JSON form; the shell form swallows signals")
        words: list[str] = json.loads(self.value)
        return words

    def pairs(self) -> dict[str, str]:
        """``NAME=value`` pairs, as in ENV and LABEL."""
        return dict(word.split("=", 1) for word in shlex.split(self.value))


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildStage:
    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, keyword: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]

    def last(self, keyword: str) -> Instruction:
        """The one that counts."""
        return self.all(keyword)[-1]


_KEYWORDS = frozenset({"ARG", "CMD", "COPY", "ENV", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})


def read_dockerfile(text: str) -> tuple[list[Instruction], list[BuildStage]]:
    """The instructions before the first FROM, and the stages."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    logical = re.sub(r"\\\n", "", "\n".join(lines)).splitlines()
    head: list[Instruction] = []
    stages: list[tuple[str, str, list[Instruction]]] = []
    for line in filter(str.strip, logical):
        keyword, _, value = line.strip().partition(" ")
        if keyword not in _KEYWORDS:
            raise NotUnderstood(line)
        value = " ".join(value.split())
        if keyword == "FROM":
            match = re.fullmatch(r"(\S+) AS (\S+)", value)
            if not match:
                raise NotUnderstood(line)
            stages.append((match[2], match[1], []))
        else:
            (stages[-1][2] if stages else head).append(Instruction(keyword=keyword, value=value))
    return head, [BuildStage(name=name, base=base, instructions=tuple(instructions)) for name, base, instructions in stages]


class IgnoreFile:
    """A .dockerignore: the last pattern that fits a path or one of its parents decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [(line.startswith("!"), _pattern(line.removeprefix("!"))) for line in lines if line and not line.startswith("#")]

    def is_ignored(self, path: str) -> bool:
        pure = PurePosixPath(path)
        candidates = [str(pure), *(str(parent) for parent in pure.parents if str(parent) != ".")]
        ignored = False
        for is_exception, pattern in self._rules:
            if any(pattern.fullmatch(candidate) for candidate in candidates):
                ignored = not is_exception
        return ignored

    def context(self, root: Path) -> list[str]:
        """Every file below ``root`` that a build would see. Looks only where an exception could be."""
        tops = [top for top in sorted(root.iterdir()) if not self.is_ignored(top.name)]
        files = [file for top in tops for file in ([top] if top.is_file() else sorted(top.rglob("*"))) if file.is_file()]
        names = [file.relative_to(root).as_posix() for file in files]
        return [name for name in names if not self.is_ignored(name)]


def _pattern(text: str) -> re.Pattern[str]:
    """Go's filepath.Match plus ``**``."""
    expression, position = "", 0
    text = text.strip("/")
    while position < len(text):
        if text.startswith("**/", position):
            expression, position = expression + "(?:.*/)?", position + 3
        elif text[position] == "*":
            expression, position = expression + "[^/]*", position + 1
        elif text[position] == "?":
            expression, position = expression + "[^/]", position + 1
        elif text[position] == "[":
            end = text.index("]", position)
            expression, position = expression + text[position : end + 1], end + 1
        else:
            expression, position = expression + re.escape(text[position]), position + 1
    return re.compile(expression)


def follow(stage: BuildStage, *, context: Path, files: list[str], root: Path, environment: dict[str, str]) -> list[str]:
    """Do what ``stage`` says, below ``root`` instead of ``/``, and return the commands that were run.

    Absolute paths of the stage (``/opt``, ``/srv``) are moved below ``root``. Raises ``CalledProcessError`` when a step fails.
    """
    workdir, commands = root, []
    for instruction in stage.instructions:
        if instruction.keyword == "WORKDIR":
            workdir = root / instruction.value.lstrip("/")
            workdir.mkdir(parents=True, exist_ok=True)
        elif instruction.keyword == "COPY":
            _copy(instruction, context=context, files=files, workdir=workdir)
        elif instruction.keyword == "RUN":
            command = re.sub(r"(?<![\w./])/(opt|srv)\b", rf"{root}/\1", instruction.value)
            subprocess.run(["/bin/sh", "-c", command], cwd=workdir, env=environment, check=True, capture_output=True, text=True)
            commands.append(command)
        else:
            raise NotUnderstood(f"{instruction.keyword} in a stage that is followed")
    return commands


def _copy(instruction: Instruction, *, context: Path, files: list[str], workdir: Path) -> None:
    match instruction.value.split():
        case [source, target] if not source.startswith("-") and not target.startswith("/"):
            wanted = [name for name in files if name == source or name.startswith(f"{source.rstrip('/')}/")]
            if not wanted:
                raise NotUnderstood(f"COPY {instruction.value}: the context holds no such file")
            for name in wanted:
                inside = Path(name).relative_to(source.rstrip("/")) if name != source else Path(name).name
                destination = workdir / target / inside
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(context / name, destination)
        case _:
            raise NotUnderstood(f"COPY {instruction.value}")
