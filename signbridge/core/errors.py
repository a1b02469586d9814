"""The one exception that is for the person at the keyboard.

Raise it with one or two lines: what is wrong, where (file, row or key), and what to do instead. Everything else
that is raised is a bug and may show its traceback.
"""


class SignBridgeError(Exception):
    """Something that the user can put right: bad data, a wrong key, a missing file."""
