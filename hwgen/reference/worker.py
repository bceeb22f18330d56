"""The process that a runtime runs in: ``python -m hwgen.reference.worker MODULE``; question and answer are pickles.

Only `hwgen.reference.asked` speaks to it, through its standard input and output.
"""

from __future__ import annotations

import os
import pickle
import sys

from hwgen.reference.runtime import RUNTIMES, RefusalError


def main() -> None:
    """Answer one question."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what runtimes print does not get into the answer
    (runtime,) = [r for format_ in RUNTIMES.values() for r in format_ if r.module == sys.argv[1]]
    run = runtime.run  # imported while the question is still being prepared
    path, inputs, keys = pickle.load(sys.stdin.buffer)
    try:
        found = run(path, inputs, keys)
    except RefusalError as error:
        pickle.dump(str(error), answer)
    else:
        pickle.dump(found, answer)
    answer.close()
    sys.stdout.flush()
    os._exit(0)  # not what the runtimes' own destructors do


if __name__ == "__main__":
    main()
