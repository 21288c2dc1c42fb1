"""Sending and waiting on an event loop, as in a web service. A worker for ``etl`` must run."""

import asyncio

from etl import load, report


async def main():
    one = await load.adelay("shop")
    several = [await report.aapply_async() for _ in range(3)]
    print(len(await one), await asyncio.gather(*(result.aget(timeout=10) for result in several)))


if __name__ == "__main__":
    asyncio.run(main())
