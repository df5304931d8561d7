"""The system calls that a container of a sandbox may make: a closed list, by what they are for.

Stricter than Docker's default, which on current kernels lets through io_uring and sockets of every family.
What is not named here fails with EPERM; `clone3` with ENOSYS, on which the C library falls back to `clone`,
whose flags can be looked at.
"""

from __future__ import annotations

import json
from typing import Any

FILES = """
    read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 open openat openat2 creat close
    close_range lseek access faccessat faccessat2 stat fstat lstat newfstatat statx statfs fstatfs getdents
    getdents64 getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat
    symlink symlinkat readlink readlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat umask
    utime utimes utimensat futimesat truncate ftruncate fallocate fsync fdatasync sync_file_range fcntl flock
    ioctl dup dup2 dup3 pipe pipe2 mknod mknodat sendfile splice tee copy_file_range readahead fadvise64
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr
    lremovexattr fremovexattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch memfd_create
"""

# Not mincore: it tells which pages of a shared file others have read.
MEMORY = """
    mmap munmap mprotect mremap madvise brk msync mlock mlock2 munlock mlockall munlockall membarrier rseq
"""

PROCESSES = """
    fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill getpid getppid gettid getpgid
    setpgid getpgrp getsid setsid getuid geteuid getgid getegid getgroups getresuid getresgid setuid setgid
    setgroups setresuid setresgid setreuid setregid setfsuid setfsgid capget capset prctl arch_prctl
    set_tid_address set_robust_list get_robust_list prlimit64 getrlimit setrlimit getrusage times
    sched_getaffinity sched_setaffinity sched_yield sched_getparam sched_setparam sched_getscheduler
    sched_setscheduler sched_get_priority_max sched_get_priority_min getpriority setpriority getcpu uname
    restart_syscall pidfd_open pidfd_send_signal
"""

SIGNALS_AND_CLOCKS = """
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo
    rt_tgsigqueueinfo sigaltstack pause alarm signalfd signalfd4 eventfd eventfd2 clock_gettime clock_getres
    clock_nanosleep nanosleep gettimeofday time timer_create timer_settime timer_gettime timer_delete
    timer_getoverrun timerfd_create timerfd_settime timerfd_gettime getitimer setitimer futex futex_waitv poll
    ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 getrandom
"""

CONNECTIONS = """
    connect bind listen accept accept4 getsockname getpeername getsockopt setsockopt sendto recvfrom sendmsg
    recvmsg sendmmsg recvmmsg shutdown
"""

HOST_COUNTERS = "sysinfo"
"""Free memory and load of the whole host, which move while a neighbour's query runs: for trusted roles only."""

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
NETLINK_ROUTE = 0
CLONE_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

EPERM, ENOSYS = 1, 38


def profile(*, trusted: bool) -> str:
    """The profile as the JSON text that `security_opt` wants."""
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": EPERM,
            # No other: calls in a 32-bit table would go by other numbers.
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": rules(trusted=trusted),
        }
    )


def rules(*, trusted: bool) -> list[dict[str, Any]]:
    """What is allowed, as a profile lists it."""
    names = f"{FILES} {MEMORY} {PROCESSES} {SIGNALS_AND_CLOCKS} {CONNECTIONS}".split()
    if trusted:
        names.append(HOST_COUNTERS)
    found: list[dict[str, Any]] = [_allow(names)]
    for family in (AF_UNIX, AF_INET, AF_INET6):
        found.append(_allow(["socket"], _equals(0, family)))
    # The C library asks for the interfaces by it.
    found.append(_allow(["socket"], _equals(0, AF_NETLINK), _equals(2, NETLINK_ROUTE)))
    found.append(_allow(["socketpair"], _equals(0, AF_UNIX)))
    no_namespaces = {"index": 0, "value": CLONE_NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    found.append(_allow(["clone"], no_namespaces))
    # Linux and 0xffffffff, "what am I": no switching off of address randomisation.
    found.append(_allow(["personality"], _equals(0, 0)))
    found.append(_allow(["personality"], _equals(0, 0xFFFFFFFF)))
    found.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return found


def _allow(names: list[str], *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(conditions)}


def _equals(argument: int, value: int) -> dict[str, Any]:
    return {"index": argument, "value": value, "op": "SCMP_CMP_EQ"}
