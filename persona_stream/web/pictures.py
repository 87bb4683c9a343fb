"""Pictures in requests."""

from __future__ import annotations

import re

from persona_stream.errors import InvalidRequest

# What the providers take. That it is base64 to its end is theirs to find out: here it is megabytes of somebody else's.
_IMAGE = re.compile(r"https?://[^\s]{1,8000}|data:image/[a-z0-9.+-]{1,40};base64,[A-Za-z0-9+/]+={0,2}", re.ASCII)


def picture(url: str, where: str) -> str:
    """Check the address of a picture.

    Raises:
        InvalidRequest: there can be none.
    """
    if not _IMAGE.fullmatch(url):
        raise InvalidRequest(
            f"{where}: is no address of a picture: write https://… or data:image/…;base64,…", "messages"
        )
    return url
