"""TLS in front of a Redis server, with an authority of its own."""

import asyncio
import ssl
import threading
from contextlib import suppress

import trustme


class TlsFront:
    """``with TlsFront(server.port, folder) as front: front.url(0)``; ``mutual``: clients show certificates too."""

    def __init__(self, port, folder, mutual=False):
        self._target = port
        authority = trustme.CA()
        self.authority = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.authority)
        self.certificate = str(folder / "client.pem")
        authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(self.certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        if mutual:
            self._context.verify_mode = ssl.CERT_REQUIRED
            authority.configure_trust(self._context)
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()

    def url(self, db, **query):
        """A URL that trusts the authority, or what ``query`` says."""
        query = query or {"ssl_cert_reqs": "CERT_REQUIRED", "ssl_ca_certs": self.authority}
        return f"rediss://127.0.0.1:{self.port}/{db}?" + "&".join(f"{key}={value}" for key, value in query.items())

    def do(self, call):
        """Call a function on the thread that serves the connections, which wait meanwhile."""
        self._loop.call_soon_threadsafe(call)

    def __enter__(self):
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *exc):
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(60)
        self._loop.close()

    def _end(self):
        for open_connection in asyncio.all_tasks(self._loop):
            open_connection.cancel()
        self._loop.call_later(0.05, self._loop.stop)

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._forward, "127.0.0.1", 0, ssl=self._context))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()

    async def _forward(self, near_reader, near_writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_copy(near_reader, far_writer), _copy(far_reader, near_writer))


async def _copy(reader, writer):
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, ssl.SSLError):
        writer.close()
