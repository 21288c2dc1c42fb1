"""Workflows of steps that note what they do, written for one pairing of client and worker."""

import uuid

from tests.support.random_workflows.observation import settled


class Writer:
    """Writes steps that note what they do under one run."""

    def __init__(self, pair):
        self.pair, self.lib, self.run = pair, pair.lib, uuid.uuid4().hex

    def step(self, tag, fails=False):
        return self.pair.s("step", tag=tag, run=self.run, fails=fails)

    def errback(self, tag="errback"):
        return self.pair.s("step_failed", tag=tag, run=self.run)

    def failing_header(self):
        return [self.step("good"), self.step("bad", fails=True)]

    def state(self, result):
        return self.pair.bench.wait_state(self.pair.app, result.id)

    def calls(self, tag="errback", at_least=0):
        return [note["tag"] for note in settled(self.pair, self.run, at_least)].count(tag)
