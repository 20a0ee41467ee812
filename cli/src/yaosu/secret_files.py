"""Keys and tokens in files that only their owner can read."""

import os
import stat
from pathlib import Path

from marketkit.signing import b64, unb64
from yaosu.client import Stopped


class SecretFileUnsafe(Stopped):
    """The file is missing, or others may read it; says in Chinese what to type."""


def read_secret(path: Path) -> str:
    """The text of a file that is ours alone.

    Raises:
        SecretFileUnsafe: It is missing, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SecretFileUnsafe(f"无法读取 {path}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise SecretFileUnsafe(f"{path} 可被他人读取，请执行：chmod 600 {path}")
    return text


def read_key(path: Path) -> bytes:
    """A key of 32 bytes.

    Raises:
        SecretFileUnsafe: The file is missing, readable by others, or holds no key.
    """
    try:
        key = unb64(read_secret(path))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SecretFileUnsafe(f"{path} 不是密钥文件")
    return key


def write_key(path: Path, key: bytes) -> None:
    """Put a new key into a file of mode 0600; FileExistsError if there is one already."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(b64(key))
