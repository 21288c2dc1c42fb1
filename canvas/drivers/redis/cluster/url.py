"""URLs of Redis Clusters: ``redis+cluster://host:port``, or several with ``;`` between them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from canvas.drivers.redis.url import Address, parse
from canvas.errors import ConfigurationError
from canvas.masking import masked_url

SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""The schemes, each with that of one of its nodes."""


def parse_cluster(url: str, options: Mapping[str, Any]) -> list[Address]:
    """The addresses of nodes through which a cluster is found; the first one says how to log in to all of them.

    ``options``: those of ``url.parse``. Raises ConfigurationError naming the part that is wrong.
    """
    scheme, _, rest = url.partition("://")
    found = []
    # Without any address it is that of this machine; an empty one among others is none, as in the URLs of sentinels.
    for one in [some for some in rest.split(";") if some] or [""]:
        text = one.rpartition("://")[2]
        address = parse(f"{SCHEMES[scheme]}://{text}", options)
        if address.db:
            shown = masked_url(url)
            raise ConfigurationError(f"{scheme} URL {shown}: a Redis Cluster has database 0 alone; got {address.db}")
        found.append(address)
    login = next((one for one in found if one.password), found[0])
    first = replace(found[0], username=login.username, password=login.password)
    return [first, *(replace(first, host=one.host, port=one.port) for one in found[1:])]
