"""Stop before an installation that cannot work: the lock covers Python 3.11 to 3.13."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}; "
        "choose another with `make … PYTHON=python3.12`"
    )
