"""What people can put right: an error that says what was wanted, what came, and what to do."""


class ShelflifeError(Exception):
    """Bad input or a refused action. Its text is one clear sentence; the command line prints it and exits with 2."""


class NotDecidable(ShelflifeError):
    """The evidence a decision needs is missing or cannot be computed: never a pass, never a drift."""
