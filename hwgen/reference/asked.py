"""Ask a runtime in a process of its own, so that its aborts and endless loops are no more than its answer."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hwgen.reference.runtime import Answers, Array, Key, RefusalError, Runtime

SECONDS = 600
"""After which a runtime hangs; a second for each image is added."""


class Asked:
    """A runtime's process, started at once: its imports take as long as a compilation.

    Parameters
    ----------
    runtime : Runtime
        Must be installed.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._asked = False
        # It imports what this process would: not what happens to be in the current folder.
        path = os.pathsep.join(part for part in sys.path if part)
        self._process = subprocess.Popen([sys.executable, "-P", "-m", "hwgen.reference.worker", runtime.module],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         env=os.environ | {"PYTHONPATH": path})

    def answers(self, path: Path, inputs: Sequence[Array], keys: Sequence[Key]) -> Answers:
        """The runtime's answers to the one question that may be asked; arguments as `hwgen.reference.runtime.Run`.

        Raises
        ------
        RefusalError
            When the runtime does not run the file, aborts or hangs.
        """
        self._asked = True
        question = pickle.dumps((path, list(inputs), list(keys)))
        seconds = SECONDS + len(inputs[0])
        try:
            text, said = self._process.communicate(question, timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise RefusalError(f"no answer after {seconds} s, fewer inputs (--limit 1) take less") from None
        if not text or self._process.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise RefusalError(f"it ended without an answer (exit code {self._process.returncode})"
                               + (f": {lines[-1]}" if lines else ""))
        answer = pickle.loads(text)
        if isinstance(answer, str):
            raise RefusalError(answer)
        assert isinstance(answer, Answers)
        return answer

    def stop(self) -> None:
        """End the process; if it is being asked (by another thread), it ends without an answer."""
        if self._process.poll() is None:
            self._process.kill()
        if not self._asked:
            self._process.communicate()
