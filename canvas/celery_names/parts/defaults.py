"""Names of ``celery.app.defaults``: the formats of logs, and names of settings."""

from canvas.config.settings import SETTINGS

DEFAULT_POOL = "prefork"
DEFAULT_ACCEPT_CONTENT = ("json",)
DEFAULT_PROCESS_LOG_FMT: str = SETTINGS["worker_log_format"].default
DEFAULT_TASK_LOG_FMT: str = SETTINGS["worker_task_log_format"].default
SETTING_KEYS = set(SETTINGS)
DEFAULTS = {name: setting.default for name, setting in SETTINGS.items()}
