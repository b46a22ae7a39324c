"""A file is lost behind the application's back. What S3 says of it, and so what the application does, is decided by whether it may list."""

from collections.abc import Callable
from http import HTTPStatus

from app.topology.buckets import FILES
from app.topology.naming import bucket_name
from scripts.laptop.demo import DemoFailed, Shop, Story
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.judgement import Judgement


def miss_a_file(aws: EmulatedAws, judgement: Judgement, *, prefix: str) -> Callable[[Shop], Story]:
    """A thumbnail goes. The web service answers that there is none; without the grant to list, that it has failed."""

    def the_lost(shop: Shop) -> Story:
        story = Story(title="A file is lost", columns=("may list the bucket", "answer"))
        shop.doing = "looking for a lost file"
        image, size = _thumbnail(shop)
        aws.client("s3").delete_object(Bucket=bucket_name(prefix, FILES.name), Key=f"images/{image}/{size}")
        address = f"/api/images/{image}/thumbnails/{size}"
        with judgement.taken_away("web", "s3:ListBucket") as taken:
            forbidden = shop.get(address).status
            story.expect(judgement.is_denied_soon(taken), "S3 said that a file is absent to somebody who may not list its bucket.")
        absent = shop.get(address).status
        story.rows += [("no", str(forbidden)), ("yes", str(absent))]
        story.expect(forbidden == HTTPStatus.INTERNAL_SERVER_ERROR, f"What S3 forbids must be answered with 500, not {forbidden}.")
        story.expect(absent == HTTPStatus.NOT_FOUND, f"A lost file must be answered with 404, not {absent}.")
        return story

    return the_lost


def _thumbnail(shop: Shop) -> tuple[str, str]:
    """An image's id and one of its sizes. Raises :class:`DemoFailed` if no image has any."""
    for image in shop.get("/api/images").body["items"]:
        for size in image["thumbnails"]:
            return image["id"], size
    raise DemoFailed("The shop's morning has left no image with a thumbnail.")
