"""The version of Celery whose interface canvas serves."""

from typing import NamedTuple


class version_info_t(NamedTuple):
    """Celery's version in parts."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: str


VERSION = version_info = version_info_t(5, 7, 0, "", "")
CELERY_VERSION = __version__ = "5.7.0"
SERIES = "canvas"
VERSION_BANNER = f"{CELERY_VERSION} ({SERIES})"
__author__, __contact__ = "Ask Solem", "auvipy@gmail.com"
__homepage__, __docformat__ = "https://docs.celeryq.dev/", "restructuredtext"
