"""The closed list of system calls (`hub.seccomp`) as the program that the kernel runs, made by libseccomp.

For bubblewrap, which takes the program itself; a container engine makes it from the list.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import tempfile
from typing import Any

from hub import seccomp

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_OPERATORS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def program(*, trusted: bool, affinity: bool) -> bytes:
    """`affinity`: may it choose its cores? Where no cgroup holds them, only the filter does. Raises OSError where
    libseccomp is missing or refuses."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | seccomp.EPERM)))
    if not context:
        raise OSError("libseccomp made no filter")
    try:
        for rule in seccomp.rules(trusted=trusted):
            action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
            for name in rule["names"]:
                if name != "sched_setaffinity" or affinity:
                    _add(library, context, action, name, rule.get("args", []))
        with tempfile.TemporaryFile() as file:
            if library.seccomp_export_bpf(context, file.fileno()) != 0:
                raise OSError("libseccomp wrote no filter")
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            return file.read()
    finally:
        library.seccomp_release(context)


def _add(library: Any, context: Any, action: int, name: str, conditions: list[dict[str, Any]]) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        # This architecture has no such call: nothing to allow.
        return
    compared = (_Comparison * len(conditions))(
        *(
            _Comparison(each["index"], _OPERATORS[each["op"]], each["value"], each.get("valueTwo", 0))
            for each in conditions
        )
    )
    failed = library.seccomp_rule_add_array(
        context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(conditions)), compared
    )
    if failed:
        raise OSError(-failed, f"libseccomp refused the rule for {name}")
