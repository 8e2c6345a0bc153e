"""What can go wrong through no fault of the program."""


class InputError(Exception):
    """What the user gave cannot be used.

    Each argument is one line: where, what is wrong, what would be right.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(str(line) for line in self.args)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class TrainingError(Exception):
    """A trial cannot go on because of its numbers: a loss that is NaN or infinite."""
