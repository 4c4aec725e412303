"""Rules of POSIX and Linux, asked of a mounted folder by real system calls.

    syscalls.py --list          names of the checks
    syscalls.py FOLDER NAME...  runs these in FOLDER; the first that fails ends it with status 1
"""

import os
import sys

import content_checks  # noqa: F401 - they add themselves to CHECKS
import name_checks  # noqa: F401
from kit import CHECKS


def main(words):
    if words == ["--list"]:
        print("\n".join(CHECKS))
        return
    folder, *names = words
    for name in names:
        root = f"{folder}/{name}"
        os.mkdir(root)
        try:
            CHECKS[name](root)
        except Exception as reason:
            print(f"{name}: {type(reason).__name__}: {reason}", file=sys.stderr)
            line = reason.__traceback__
            while line is not None:
                print(f"  line {line.tb_lineno}", file=sys.stderr)
                line = line.tb_next
            sys.exit(1)


main(sys.argv[1:])
