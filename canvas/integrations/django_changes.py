"""Changes of Django's settings, as tests make them with ``override_settings``."""

from typing import Any
from weakref import ref

from django.core.signals import setting_changed

from canvas.config.config import Config


def follow(conf: Config) -> None:
    """Let ``conf``, which is read from Django's settings, take each change of them. It is not kept alive."""
    followed = ref(conf)

    def changed(setting: str, **_about: Any) -> None:
        found = followed()
        if found is None:
            setting_changed.disconnect(changed)
        else:
            found.source_changed(setting)

    setting_changed.connect(changed, weak=False)
