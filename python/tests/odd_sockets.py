"""What is no socket, but looks like one."""


class Answers:
    """Its `fileno` gives an answer, or raises it."""

    def __init__(self, answer):
        self.answer = answer

    def fileno(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
