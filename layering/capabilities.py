"""File capabilities: from the text of an RPM's header to the extended attribute that the kernel reads.

Sources: cap_from_text(3) for the text, linux/capability.h (struct vfs_cap_data, revision 2) for the attribute.
"""

from __future__ import annotations

import ctypes
import functools
import struct

ATTRIBUTE = "security.capability"

_EFFECTIVE, _PERMITTED, _INHERITABLE = 0, 1, 2
_REVISION_2 = 0x02000000
_FLAG_EFFECTIVE = 0x000001
_BITS = 64


def capability_attribute(text: str) -> bytes | None:
    """The value of `security.capability` for e.g. `cap_net_raw=ep`, None for no text; `=` is an empty set, as in rpm.

    Raises:
        ValueError: the text is not a capability set, or not one that a file can carry.
    """
    if not text:
        return None
    effective, permitted, inheritable = _parse(text)
    # A file has one effective bit for the whole set, see cap_set_file(3).
    if effective and effective != permitted | inheritable:
        raise ValueError(f"{text!r} makes only some of its capabilities effective")
    low, high = 0xFFFFFFFF, 32
    return struct.pack(
        "<IIIII",
        _REVISION_2 | (_FLAG_EFFECTIVE if effective else 0),
        permitted & low,
        inheritable & low,
        permitted >> high,
        inheritable >> high,
    )


def _parse(text: str) -> tuple[int, int, int]:
    library = _libcap()
    capabilities = library.cap_from_text(text.encode())
    if not capabilities:
        raise ValueError(f"{text!r} is not a set of capabilities")
    try:
        return (
            _flags(library, capabilities, _EFFECTIVE),
            _flags(library, capabilities, _PERMITTED),
            _flags(library, capabilities, _INHERITABLE),
        )
    finally:
        library.cap_free(capabilities)


def _flags(library: ctypes.CDLL, capabilities: int, flag: int) -> int:
    found = 0
    value = ctypes.c_int()
    for bit in range(_BITS):
        if library.cap_get_flag(capabilities, bit, flag, ctypes.byref(value)) != 0:
            break  # past the last one that libcap knows
        found |= value.value << bit
    return found


@functools.cache
def _libcap() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libcap.so.2", use_errno=True)
    except OSError as error:
        raise ValueError(f"libcap is needed to read file capabilities: {error}") from error
    library.cap_from_text.restype = ctypes.c_void_p
    library.cap_from_text.argtypes = [ctypes.c_char_p]
    library.cap_get_flag.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.cap_free.argtypes = [ctypes.c_void_p]
    return library
