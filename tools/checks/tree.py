# SPDX-License-Identifier: BSD-3-Clause
"""The files of the tree: what git has or would add; without git (an unpacked archive) everything but build products."""
import subprocess

NOT_OURS = {"build", ".git", ".cache", "__pycache__"}


def names(root):
    try:
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [str(f.relative_to(root)) for f in root.rglob("*") if not NOT_OURS & set(f.relative_to(root).parts)]
    return sorted(n for n in listed if n and ((root / n).is_file() or (root / n).is_symlink()))
