"""Which hooks there are, and for which reasons they run: the names that administrators' scripts know."""

from enum import StrEnum


class HookName(StrEnum):
    """When scripts run: also the name of their folder under `/etc/xapi.d`."""

    PRE_SHUTDOWN = "vm-pre-shutdown"
    POST_DESTROY = "vm-post-destroy"
    PRE_START = "vm-pre-start"
    PRE_REBOOT = "vm-pre-reboot"
    PRE_SUSPEND = "vm-pre-suspend"
    PRE_RESUME = "vm-pre-resume"
    POST_RESUME = "vm-post-resume"
    PRE_MIGRATE = "vm-pre-migrate"
    POST_MIGRATE = "vm-post-migrate"


class HookReason(StrEnum):
    """Why they run: the value of `-reason`."""

    CLEAN_SHUTDOWN = "clean-shutdown"
    HARD_SHUTDOWN = "hard-shutdown"
    CLEAN_REBOOT = "clean-reboot"
    HARD_REBOOT = "hard-reboot"
    SUSPEND = "suspend"
    MIGRATE_SOURCE = "source"
    MIGRATE_DESTINATION = "destination"
    NONE = "none"
