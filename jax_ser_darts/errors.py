"""What a user can mend: one base for all such errors, so that a command catches one."""


class UserError(Exception):
    """Something outside the code is wrong; the message says what, where, and what to do."""


class ConfigError(UserError):
    """A setting that cannot work; the message names it and says what would."""
