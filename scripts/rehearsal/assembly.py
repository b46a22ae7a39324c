"""What ``cdk synth`` wrote: stacks in the order in which they can be deployed, and the files that go with them."""

import io
import json
import zipfile
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

Template = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    name: str
    template: Template
    is_protected: bool
    """CloudFormation refuses to delete it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileAsset:
    """A file or folder that the CDK uploads before it deploys, such as the code of a function."""

    source: Path
    is_folder: bool
    bucket: str
    key: str

    def content(self) -> bytes:
        return _zipped(self.source) if self.is_folder else self.source.read_bytes()


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    stacks: tuple[Stack, ...]
    files: tuple[FileAsset, ...]


def read_assembly(folder: Path, *, account: str, region: str) -> Assembly:
    """Read a cloud assembly. Stacks come after those they depend on."""
    artifacts: dict[str, dict[str, Any]] = json.loads((folder / "manifest.json").read_text())["artifacts"]
    kinds = {"stack": "aws:cloudformation:stack", "assets": "cdk:asset-manifest"}
    order = TopologicalSorter({name: artifact.get("dependencies", ()) for name, artifact in artifacts.items()}).static_order()
    stacks = [
        Stack(
            name=artifacts[name]["properties"].get("stackName", name),
            template=json.loads((folder / artifacts[name]["properties"]["templateFile"]).read_text()),
            is_protected=artifacts[name]["properties"].get("terminationProtection", False),
        )
        for name in order
        if artifacts[name]["type"] == kinds["stack"]
    ]
    manifests = [artifact["properties"]["file"] for artifact in artifacts.values() if artifact["type"] == kinds["assets"]]
    files = [asset for manifest in manifests for asset in _files(folder, manifest, account=account, region=region)]
    return Assembly(stacks=tuple(stacks), files=tuple({(file.bucket, file.key): file for file in files}.values()))


def _files(folder: Path, manifest: str, *, account: str, region: str) -> list[FileAsset]:
    found: dict[str, Any] = json.loads((folder / manifest).read_text()).get("files", {})
    placeholders = {"${AWS::AccountId}": account, "${AWS::Region}": region, "${AWS::Partition}": "aws"}

    def resolved(text: str) -> str:
        for placeholder, value in placeholders.items():
            text = text.replace(placeholder, value)
        return text

    return [
        FileAsset(
            source=folder / asset["source"]["path"],
            is_folder=asset["source"]["packaging"] == "zip",
            bucket=resolved(destination["bucketName"]),
            key=resolved(destination["objectKey"]),
        )
        for asset in found.values()
        for destination in asset["destinations"].values()
    ]


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return buffer.getvalue()
