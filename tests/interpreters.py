"""A Python that another user of this machine can run."""

import contextlib
import os
import pwd
import subprocess
import sys

import pytest


def python_of(user: pwd.struct_passwd) -> str:
    """Root's interpreter may lie in a closed home; take the system's then, if it is of the same version.

    Without one the test is skipped, but fails where `CI` is set: there it must prove something.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with contextlib.suppress(OSError):
            tried = subprocess.run([python, "-c", ""], user=user.pw_uid, group=user.pw_gid, cwd="/")
            if tried.returncode == 0:
                return python
    reason = (
        f"{user.pw_name} can run no {version}: install the system's (apt-get install {version}), or make .venv with one"
        " that others may run (make clean; make PYTHON=/usr/bin/python3)"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
