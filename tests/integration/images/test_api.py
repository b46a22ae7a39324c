import json
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from app.engine.outbox.models import OutboxMessage
from app.workload.images import files, services
from app.workload.images.errors import ImageUnknown
from app.workload.images.models import Image
from tests.integration.images.pictures import picture
from tests.support.quickly import quickly

pytestmark = pytest.mark.django_db

Upload = Callable[..., Any]


def published() -> Counter[str]:
    return Counter(OutboxMessage.objects.values_list("task", flat=True))


def stored(image_id: Any) -> set[str]:
    storage = files._storage()
    return set(storage.listdir(f"images/{image_id}")[1])


def test_an_upload_is_an_image_whose_thumbnails_its_owner_may_have(upload: Upload, client: Client, stranger: Client) -> None:
    answer = upload(picture(size=(3000, 1500)))
    assert answer.status_code == 201, answer.content
    image = answer.json()
    assert (image["state"], image["name"], image["thumbnails"]) == ("uploaded", "beach.jpg", {})
    assert published() == {"images.process_image": 1}

    services.process_image(image["id"])

    image = client.get(image["links"]["self"]).json()
    assert (image["state"], image["kind"], image["width"], image["height"]) == ("ready", "JPEG", 3000, 1500)
    assert stored(image["id"]) == {"original", "small", "medium", "large"}
    for made in image["thumbnails"].values():
        download = client.get(made["link"])
        assert (download.status_code, download["Content-Type"]) == (200, "image/webp")
        assert download.streaming
        assert len(b"".join(download)) == made["bytes"]
        assert download["Cache-Control"].startswith("private")
        assert stranger.get(made["link"]).status_code == 404
        assert Client().get(made["link"]).status_code == 401
    assert [item["id"] for item in client.get("/api/images").json()["items"]] == [image["id"]]
    assert stranger.get("/api/images").json()["items"] == []
    for address in (image["links"]["self"], f"{image['links']['self']}/thumbnails/small"):
        assert stranger.get(address).status_code == 404
    assert stranger.delete(image["links"]["self"]).status_code == 404
    assert client.get(f"{image['links']['self']}/thumbnails/huge").status_code == 404


def test_delivered_twice_the_same_files_lie_under_the_same_keys(upload: Upload) -> None:
    image_id = upload(picture()).json()["id"]
    services.process_image(image_id)
    before = Image.objects.values().get()

    services.process_image(image_id)
    assert Image.objects.values().get() == before

    Image.objects.update(state="uploaded", finished_at=None, width=None, height=None)  # as a twin sees it that was not the first
    services.process_image(image_id)
    assert stored(image_id) == {"original", "small", "medium", "large"}


def test_what_is_no_image_is_refused_and_that_is_an_outcome(upload: Upload, client: Client) -> None:
    image_id = upload(b"Dear Sir or Madam\n", "letter.png").json()["id"]

    services.process_image(image_id)

    image = client.get(f"/api/images/{image_id}").json()
    assert (image["state"], image["refusal"]["code"]) == ("refused", "not-an-image")
    missing = client.get(f"/api/images/{image_id}/thumbnails/small")
    assert missing.status_code == 404
    assert "refused" in missing.json()["detail"]


def test_deleting_an_image_deletes_its_files_also_when_a_worker_is_at_it(upload: Upload, client: Client) -> None:
    image_id = upload(picture()).json()["id"]
    services.process_image(image_id)

    assert client.delete(f"/api/images/{image_id}").status_code == 204
    assert client.get(f"/api/images/{image_id}").status_code == 404
    assert published()["images.delete_files"] == 1
    assert services.delete_files(image_id) == 4
    assert services.delete_files(image_id) == 0

    files.put(uuid.UUID(image_id), "small", b"made by a run that was late")
    assert services.process_image(image_id) is None
    assert stored(image_id) == set()


def test_an_upload_that_is_sent_again_is_one_image(upload: Upload, client: Client) -> None:
    first = upload(picture(), key="k-1")
    again = upload(picture(), key="k-1")
    other_file = upload(picture(size=(10, 10)), key="k-1")

    assert (first.status_code, again.status_code, other_file.status_code) == (201, 201, 422)
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert published()["images.process_image"] == 1
    assert Image.objects.count() == 1


def test_an_upload_that_nobody_came_back_for_is_cleared_away(owner: Any, bucket: None) -> None:
    ids = [uuid.uuid4() for _ in range(3)]
    for image_id in ids:
        services.store_upload(owner=owner, image_id=image_id, name="a", content=SimpleUploadedFile("a", picture()))
    Image.objects.filter(pk__in=ids[:2]).update(created_at=timezone.now() - timedelta(hours=2))
    services.accept_upload(ids[1])

    assert services.clear_unfinished() == 1

    assert set(Image.objects.values_list("pk", flat=True)) == set(ids[1:])
    assert services.delete_files(str(ids[0])) == 1
    assert services.delete_files(str(ids[1])) == 0


def test_pages_follow_each_other_without_gap(upload: Upload, client: Client) -> None:
    made = [upload(picture(size=(2, 2))).json()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/api/images", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


def multipart(*parts: tuple[str, str | None, bytes], boundary: str = "x") -> tuple[bytes, str]:
    body = b""
    for name, filename, content in parts:
        head = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        body += f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


FORM = "multipart/form-data; boundary=x"
ONE = ("file", "a.jpg", b"content")
BAD: dict[str, tuple[bytes, str, dict[str, str], int]] = {
    "nothing": (b"", FORM, {}, 415),
    "json": (b'{"file": "a"}', "application/json", {}, 415),
    "a raw image": (picture(size=(2, 2)), "image/jpeg", {}, 415),
    "a form without a boundary": (b"x", "multipart/form-data", {}, 400),
    "a form that is none": (b"\0" * 100, FORM, {}, 422),
    "no file": (*multipart(("name", None, b"x")), {}, 422),
    "a file under another name": (*multipart(("picture", "a.jpg", b"x")), {}, 422),
    "two files": (*multipart(ONE, ONE), {}, 422),
    "200 files": (*multipart(*[ONE] * 200), {}, 400),
    "2,000 fields": (*multipart(*[("a", None, b"")] * 2000), {}, 400),
    "another field": (*multipart(ONE, ("owner", None, b"1")), {}, 422),
    "an empty file": (*multipart(("file", "a.jpg", b"")), {}, 422),
    "a field of a megabyte": (*multipart(ONE, ("a", None, b"a" * 2**20)), {}, 413),
    "an endless name": (*multipart(("file", "a" * 20_000, b"x")), {}, 400),
    "an absurd key": (*multipart(ONE), {"Idempotency-Key": "\u00e9" * 10}, 422),
    "a key that is too long": (*multipart(ONE), {"Idempotency-Key": "k" * 256}, 422),
    "more than is accepted": (*multipart(ONE), {"Content-Length": str(26 * 1024 * 1024)}, 413),
    "chunks": (*multipart(ONE), {"Transfer-Encoding": "chunked"}, 411),
}


@pytest.mark.parametrize(("body", "content_type", "headers", "status"), BAD.values(), ids=BAD)
def test_bad_input_is_told_at_once_with_a_reason_and_enqueues_nothing(
    client: Client, body: bytes, content_type: str, headers: dict[str, str], status: int
) -> None:
    client.raise_request_exception = False
    answer = quickly(lambda: client.generic("POST", "/api/images", body, content_type=content_type, headers=headers))

    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content)["detail"]
    assert not Image.objects.exists()
    assert not OutboxMessage.objects.exists()


NOWHERE = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/api/images/{NOWHERE}", 404),
        ("DELETE", f"/api/images/{NOWHERE}", 404),
        ("GET", f"/api/images/{NOWHERE}/thumbnails/small", 404),
        ("GET", "/api/images/7", 422),
        ("GET", "/api/images/%00", 422),
        ("GET", f"/api/images/{NOWHERE}/thumbnails/{'s' * 30}", 422),
        ("GET", "/api/images?limit=0", 422),
        ("GET", "/api/images?limit=x", 422),
        ("GET", "/api/images?cursor=x", 422),
        ("PUT", "/api/images", 405),
    ],
)
def test_strange_addresses_are_told_why(client: Client, method: str, path: str, status: int) -> None:
    answer = client.generic(method, path)

    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")


def test_only_an_id_is_an_id() -> None:
    with pytest.raises(ImageUnknown):
        services.process_image("7")


# -- pages ----------------------------------------------------------------------------------------------------------------


def test_staff_sees_the_gallery_and_others_do_not(upload: Upload, staff: Client, owner: Any) -> None:
    ready, refused = upload(picture()).json()["id"], upload(b"a letter", "letter.png").json()["id"]
    services.process_image(ready)
    services.process_image(refused)

    page = staff.get("/images/").content.decode()
    assert f"/images/{ready}/thumbnails/small/" in page
    assert "letter.png" in page
    assert str(ready) not in staff.get("/images/", {"state": "refused"}).content.decode()
    assert "no JPEG, PNG, WebP or GIF" in staff.get(f"/images/{refused}/").content.decode()
    assert f"/images/{ready}/thumbnails/large/" in staff.get(f"/images/{ready}/").content.decode()
    picture_answer = staff.get(f"/images/{ready}/thumbnails/small/")
    assert (picture_answer.status_code, picture_answer["Content-Type"]) == (200, "image/webp")
    b"".join(picture_answer)
    assert staff.get(f"/images/{refused}/thumbnails/small/").status_code == 404
    assert staff.get("/admin/images/image/").status_code == 200
    customer = Client()
    for path in ("/images/", f"/images/{ready}/", f"/images/{ready}/thumbnails/small/"):
        assert customer.get(path).status_code == 302
    customer.force_login(owner)
    for path in ("/images/", f"/images/{ready}/", f"/images/{ready}/thumbnails/small/"):
        assert customer.get(path).status_code in (302, 403)


@pytest.mark.parametrize("query", [{"state": "\0"}, {"state": "x"}, {"page": "x"}, {"page": "-1"}, {"page": "9" * 30}])
def test_a_strange_query_is_no_error(staff: Client, query: dict[str, str]) -> None:
    assert staff.get("/images/", query).status_code == 200
