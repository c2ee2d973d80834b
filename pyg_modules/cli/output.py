from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TextIO


class LastingOutput:
    """The standard output of a command whose work goes on when nobody reads it any more.

    Args:
        stream (TextIO): Where to print, as long as that can be done.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        #: Why not all could be printed; nothing if the reader has left, as ``head`` does.
        self.error = ""
        self._is_closed = False

    def write(self, text: str) -> int:
        """Print ``text``, or nothing where that has failed before."""
        if not self._is_closed:
            try:
                self._stream.write(text)
                if text.endswith("\n"):  # A reader who has left is noticed now, not in the end.
                    self._stream.flush()
            except OSError as error:
                self._close(error)
        return len(text)

    def flush(self) -> None:
        """Print what is kept back."""
        if not self._is_closed:
            try:
                self._stream.flush()
            except OSError as error:
                self._close(error)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _close(self, error: OSError) -> None:
        self._is_closed = True
        if error.errno != errno.EPIPE:
            self.error = error.strerror or str(error)
        # What is still kept back must not fail when Python ends.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
