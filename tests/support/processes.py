"""What child processes cost."""

import resource


def seconds_of_children() -> float:
    """Seconds of a processor that children have taken so far, those that have ended.

    Unlike seconds of a clock they do not depend on what else runs on the machine.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
