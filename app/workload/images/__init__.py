"""Images: people upload them, thumbnails are made of them.

Promise: an image that was accepted becomes ``ready`` with a thumbnail of each size, or ``refused`` with a reason, whatever is delivered
twice or killed; its thumbnails are upright, in sRGB, never larger than it is, and hold nothing but pixels. What would cost more memory than
a worker has is refused by its header, before it is decoded. Deleting an image deletes its files.
Limit: JPEG, PNG, WebP and GIF, of which the first frame counts; 25 MiB, 50 megapixels, WebP 16. The original stays as it was uploaded, and
is handed out to nobody. A run holds up to about half a gigabyte.
Use: ``POST /api/images``; ``services.delete_image(…)``.
Stores: ``Image``; in the bucket ``files`` below ``images/<id>/`` the original and the thumbnails.
"""
