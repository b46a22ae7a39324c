"""``/api/images``: for programs of the shop."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from django.core.files.base import File
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from ninja import Path, Router, Schema
from pydantic import Field

from app.api.addresses import address_of
from app.api.errors import FieldError, Problem
from app.api.idempotency import Answer, IdempotencyKey, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.workload.images import services
from app.workload.images.handing_out import thumbnail_response, thumbnails_of
from app.workload.images.models import Image
from app.workload.images.thumbnails import CONTENT_TYPE, SIZES

router = Router(tags=["images"])

#: What stands around the file in the body.
_LARGEST_FRAME_BYTES = 64 * 1024
_EXAMPLE_ID = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"
_IDS = uuid.UUID("3d2c8c39-7c0c-4c5e-8a35-6b0d3a6f2e54")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or GIF, up to 25 MiB."}},
                }
            }
        },
    }
}


class Refusal(Schema):
    code: str = Field(examples=["not-an-image"])
    reason: str = Field(description="For people.", examples=["This is no JPEG, PNG, WebP or GIF."])


class ThumbnailAnswer(Schema):
    width: int
    height: int
    bytes: int
    link: str = Field(examples=[f"/api/images/{_EXAMPLE_ID}/thumbnails/small"])


class Links(Schema):
    self: str = Field(examples=[f"/api/images/{_EXAMPLE_ID}"])


class ImageAnswer(Schema):
    """An image as it is now."""

    id: uuid.UUID = Field(examples=[_EXAMPLE_ID])
    state: Image.State = Field(description="`uploaded` is on its way; `ready` and `refused` are final.")
    name: str = Field(description="As the file was called.", examples=["beach.jpg"])
    bytes: int
    kind: str = Field(description="Its format, by its content, once ready.", examples=["JPEG"])
    width: int | None
    height: int | None
    thumbnails: dict[str, ThumbnailAnswer] = Field(description="`small`, `medium` and `large`, once ready.")
    refusal: Refusal | None = Field(description="Why it was refused, if it was.")
    created_at: datetime
    finished_at: datetime | None
    links: Links


class ImagePage(Schema):
    """Some images, newest first."""

    items: list[ImageAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


@router.post(
    "",
    response={201: ImageAnswer},
    summary="Upload an image",
    url_name="images",
    openapi_extra=_BODY | problem_responses(400, 401, 409, 411, 413, 415, 422, 503),
)
def upload_image(request: HttpRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Accept a file and make its thumbnails in the background. The answer comes before them: follow `links.self`."""
    if not request.user.is_authenticated:
        raise standard_problem(401)
    upload = _uploaded_file(request)
    digest = hashlib.sha256()
    for chunk in upload.chunks():
        digest.update(chunk)
    content = f"{digest.hexdigest()} {upload.name}".encode()
    # Of a request that is sent again, the file is stored in the same place again.
    seed = f"{request.user.pk} {idempotency_key} {content.decode()}"
    image_id = uuid.uuid4() if idempotency_key is None else uuid.uuid5(_IDS, seed)
    services.store_upload(owner=request.user, image_id=image_id, name=str(upload.name), content=upload)
    try:
        return answer_once(request, idempotency_key, lambda: _accept(request, image_id), content=content)
    except Problem:
        services.discard_upload(image_id)
        raise


@router.get("", response=ImagePage, summary="List images", openapi_extra=problem_responses(401, 422, 503))
def list_images(
    request: HttpRequest,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ImagePage:
    """The token owner's images, newest first. Images that arrive meanwhile do not shift the pages."""
    images = _owned(request)
    page, next_cursor = page_of(images, limit=limit, cursor=cursor)
    return ImagePage(
        items=[_answer(request, image) for image in page],
        next_cursor=next_cursor,
    )


@router.get(
    "/{image_id}", response=ImageAnswer, summary="Read an image", url_name="image", openapi_extra=problem_responses(401, 404, 422, 503)
)
def read_image(request: HttpRequest, image_id: uuid.UUID) -> ImageAnswer:
    """An image of the token's owner. Others' images are not there."""
    return _answer(request, _found(request, image_id))


@router.delete("/{image_id}", response={204: None}, summary="Delete an image", openapi_extra=problem_responses(401, 404, 422, 503))
def delete_image(request: HttpRequest, image_id: uuid.UUID) -> HttpResponse:
    """The image is gone at once, its files soon after."""
    services.delete_image(_found(request, image_id))
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@router.get(
    "/{image_id}/thumbnails/{size}",
    summary="Download a thumbnail",
    url_name="thumbnail",
    openapi_extra={
        "responses": {
            200: {"description": "WebP.", "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
            **problem_responses(401, 404, 422, 503)["responses"],
        }
    },
)
def download_thumbnail(
    request: HttpRequest, image_id: uuid.UUID, size: Annotated[str, Path(max_length=20, description=", ".join(SIZES))]
) -> HttpResponseBase:
    """The bytes, for the image's owner."""
    image = _found(request, image_id)
    response = thumbnail_response(image, size)
    if response is None:
        has = f"it has {', '.join(thumbnails_of(image))}" if image.thumbnails else f"it has none, it is {image.state}"
        raise Problem(404, detail=f"The image {image_id} has no such thumbnail: {has}.")
    return response


def _uploaded_file(request: HttpRequest) -> "File[bytes]":
    """The one file of the body. What is too large is refused before it is read. Raises :class:`Problem`."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise Problem(411, detail="The body must come with its Content-Length; chunked bodies are not read.")
    if request.content_type != "multipart/form-data":
        sent = request.content_type or "nothing"
        raise Problem(415, detail=f"The body must be sent with Content-Type multipart/form-data, this one came with {sent[:100]}.")
    announced = request.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > services.LARGEST_FILE_BYTES + _LARGEST_FRAME_BYTES:
        raise _too_large()
    try:
        fields, files = request.POST, request.FILES
    except MultiPartParserError as error:
        raise Problem(400, detail=f"The body is not the multipart/form-data that it says: {error}.") from error
    errors = [FieldError(where="body", field=name[:100], reason="is not a field that we know") for name in {*fields, *files} - {"file"}]
    sent_files = files.getlist("file")
    if len(sent_files) != 1:
        errors.append(FieldError(where="body", field="file", reason=f"expected one file, got {len(sent_files) or 'none'}"))
    else:
        errors += _problems_of(sent_files[0])
    if errors:
        raise Problem(422, detail="Some fields cannot be accepted.", errors=errors)
    if (sent_files[0].size or 0) > services.LARGEST_FILE_BYTES:
        raise _too_large()
    return sent_files[0]


def _problems_of(file: "File[bytes]") -> Sequence[FieldError]:
    if not file.size:
        return [FieldError(where="body", field="file", reason="the file is empty")]
    if "\0" in str(file.name):
        return [FieldError(where="body", field="file", reason="its name must not hold the NUL character")]
    return []


def _too_large() -> Problem:
    return Problem(413, detail=f"The file is too large: at most {services.LARGEST_FILE_BYTES // 1024 // 1024} MiB are accepted.")


def _accept(request: HttpRequest, image_id: uuid.UUID) -> Answer:
    return Answer(status=201, body=_answer(request, services.accept_upload(image_id)).model_dump(mode="json"))


def _owned(request: HttpRequest) -> Any:
    return Image.objects.filter(owner_id=request.user.pk).exclude(state=Image.State.UPLOADING)


def _found(request: HttpRequest, image_id: uuid.UUID) -> Image:
    image: Image | None = _owned(request).filter(pk=image_id).first()
    if image is None:
        raise Problem(404, detail=f"You have no image {image_id}.")
    return image


def _answer(request: HttpRequest, image: Image) -> ImageAnswer:
    address = address_of(request, "image", image_id=image.pk)
    return ImageAnswer(
        id=image.pk,
        state=Image.State(image.state),
        name=image.name,
        bytes=image.byte_count,
        kind=image.kind,
        width=image.width,
        height=image.height,
        thumbnails={
            size: ThumbnailAnswer(**made, link=address_of(request, "thumbnail", image_id=image.pk, size=size))
            for size, made in thumbnails_of(image).items()
        },
        refusal=Refusal(code=image.refusal_code, reason=image.refusal_reason) if image.refusal_code else None,
        created_at=image.created_at,
        finished_at=image.finished_at,
        links=Links(self=address),
    )
