"""RabbitMQ's management API, which lists the queues of a vhost; AMQP has no method for that."""

import base64
import json
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from canvas.drivers.amqp.contents import DELAY_QUEUES
from canvas.drivers.amqp.local.dead_letters import queue_of_letters
from canvas.errors import BrokerError, ConfigurationError
from canvas.masking import masked_url

_WITHIN = 5.0
"""Seconds in which the API has to answer."""
_LONGEST = 64 * 2**20
"""Bytes of an answer that are read."""


class ManagementApi:
    """The API at a URL such as ``http://user:password@host:15672/api/``, as Flower's ``--broker-api`` names it.

    Raises ConfigurationError for another kind of URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"broker_api: expected a URL such as http://user:password@host:15672/api/; got {masked_url(url)}"
            )
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") or "/api")
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._login = base64.b64encode(login.encode()).decode()

    def find_queues(self, vhost: str) -> list[str]:
        """Names of the queues of tasks that hold messages or dead letters. Raises BrokerError."""
        found = set()
        for one in self._read(f"queues/{quote(vhost, safe='')}?columns=name,messages,auto_delete,exclusive"):
            name = str(one["name"])
            own = one.get("auto_delete") or one.get("exclusive") or name.startswith(DELAY_QUEUES)
            if one.get("messages") and not own:
                found.add(queue_of_letters(name) or name)
        return sorted(found)

    def _read(self, path: str) -> Any:
        url = f"{self._url.geturl()}/{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {self._login}"})
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN) as answer:
                return json.loads(answer.read(_LONGEST))
        except (OSError, HTTPException, ValueError) as exc:
            raise BrokerError(f"RabbitMQ's management API at {self._url.geturl()}: {exc}") from None
