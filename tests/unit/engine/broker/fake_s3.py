"""S3 at the network's edge: objects in a dictionary, and what was asked."""

import io
from typing import Any

from botocore.exceptions import ClientError


class FakeS3:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.puts: list[dict[str, Any]] = []
        self.reads: list[io.BytesIO] = []
        self.error: Exception | None = None

    def put_object(self, **request: Any) -> None:
        self._fail()
        self.puts.append(request)
        self.objects[request["Bucket"], request["Key"]] = request["Body"]

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 — S3's names
        self._fail()
        try:
            body = self.objects[Bucket, Key]
        except KeyError:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no"}}, "GetObject") from None
        self.reads.append(io.BytesIO(body))
        return {"Body": self.reads[-1], "ContentLength": len(body)}

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        self._fail()
        self.objects.pop((Bucket, Key), None)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error
