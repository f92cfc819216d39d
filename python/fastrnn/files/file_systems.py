"""The type of the file system that a file is on, and whether a rename there replaces a file atomically.

On local file systems, NFS, Lustre, GPFS and other file systems of clusters it does. NFS may lose the server's
answer, so that a rename seems to have failed; `temporary_files` looks whether it has.
"""

from __future__ import annotations

import os

from fastrnn._mountinfo import mounts

__all__ = ["file_system_of", "renames_atomically"]

# Windows shares, folders of a virtual machine's host (9p: WSL's drives too), and in FUSE what is mounted over
# SSH or stands for objects, which have to be copied to another name.
_NOT_ATOMIC = {
    *("cifs", "smb3", "smbfs", "9p", "vboxsf", "prl_fs", "fuse.vmhgfs-fuse"),
    *("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.mount-s3"),
    *("fuse.blobfuse", "fuse.blobfuse2", "fuse.curlftpfs", "fuse.davfs", "fuse.gvfsd-fuse"),
}


def file_system_of(path: str | os.PathLike[str], root: str = "/") -> str | None:
    """Return the type of the file system that a file is on, or would be; None if the system does not say.

    Parameters
    ----------
    path : path
        Symbolic links are followed.
    root : str
        Where ``proc`` is; tests have their own.

    Examples
    --------
    >>> file_system_of("/proc/self/stat") in ("proc", None)
    True
    """
    real = os.path.realpath(path)
    found, longest = None, -1
    for mount in mounts(root):
        inside = f"{real}/".startswith(f"{mount.point.rstrip('/')}/")
        if inside and len(mount.point) >= longest:  # of several at one point, the last hides the others
            found, longest = mount.kind, len(mount.point)
    return found


def renames_atomically(kind: str | None) -> bool:
    """Return False for the types of file systems where a rename may not replace a file atomically.

    There one who reads during a rename may find no file or a part of one, and so may all after a failure.

    Examples
    --------
    >>> renames_atomically("ext4"), renames_atomically("cifs")
    (True, False)
    """
    return kind not in _NOT_ATOMIC
