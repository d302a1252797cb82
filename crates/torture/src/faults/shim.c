/*
 * Preloaded into the broker: sees every call that changes files, whether made through libc or
 * directly, and lets the tester cut the power, kill the process or fail the call at a counted one.
 *
 * A seccomp filter turns the calls into SIGSYS; the handler counts, decides, and makes the call
 * itself, marked by a magic sixth argument that the filter lets pass. The tester and the handler
 * share the control page, a file that both know; its layout stands here and in control.rs.
 * Must not know what the broker is or what its files mean.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no machine that this was written for"
#endif

/* The mark of a call that the handler makes itself; no program has it in an unused register. */
#define MAGIC 0x6f74746c61746f72UL

enum op { WRITE, SYNC, RENAME, REMOVE, MKDIR, CREATE, TRUNCATE, SYNCDIR, RESERVE, SYNCFS };
static const char *const op_name[] = {"write",  "sync",     "rename",  "remove",  "mkdir",
                                      "create", "truncate", "syncdir", "reserve", "syncfs"};
enum when { BEFORE, AFTER, HALF };
enum action { NONE, CUT, KILL, FAIL };

struct control {
    volatile uint32_t armed;   /* 0: count nothing */
    uint32_t when;
    uint32_t action;
    uint32_t error;            /* of FAIL */
    uint32_t ops;              /* bit set of enum op */
    uint32_t linger;           /* after a cut: leave the process alive */
    uint64_t nth;              /* the call that it happens at, from 1 */
    uint64_t counted;          /* calls that matched since armed */
    uint64_t total;            /* calls seen in all */
    volatile uint32_t fired;
    uint32_t sticky;           /* FAIL: all later calls that match, too */
    char ending[8];            /* what the path must end with; empty: anything */
    char path[128];            /* part of the path that must match; empty: all */
    char root[128];            /* below which calls count; for CUT the mount point */
    char what[256];            /* what it happened at */
    volatile uint32_t cut;     /* the power is cut: no call that begins now can succeed */
    volatile uint32_t told;    /* how often it has happened: not forgotten with the order */
};

static struct control *control;
static int root_fd = -1;

static long pass(long nr, const long a[5]) {
    long result = syscall(nr, a[0], a[1], a[2], a[3], a[4], MAGIC);
    return result == -1 ? -errno : result;
}

/* EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: nothing more reaches the device. */
static void cut_power(void) {
    uint32_t flags = 2;
    ioctl(root_fd, _IOR('X', 125, uint32_t), &flags);
    control->cut = 1;
}

static void strike(void) {
    if (control->action == CUT) {
        cut_power();
        if (control->linger) return;
    }
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void tell(const char *when, enum op op, const char *path) {
    size_t skip = strlen(control->root);
    const char *shown = strncmp(path, control->root, skip) == 0 ? path + skip : path;
    snprintf(control->what, sizeof control->what, "%s %s %s", when, op_name[op], shown);
    __sync_fetch_and_add(&control->told, 1);
    control->fired = 1;
}

static int is_ours(const char *path, enum op op) {
    if (strncmp(path, control->root, strlen(control->root)) != 0) return 0;
    if ((control->ops & (1u << op)) == 0) return 0;
    size_t length = strlen(path), ending = strnlen(control->ending, sizeof control->ending);
    if (length < ending || memcmp(path + length - ending, control->ending, ending) != 0) return 0;
    return control->path[0] == 0 || strstr(path, control->path) != NULL;
}

/* Makes half of a write, so that the end of the file is torn. */
static long pass_half(long nr, const long a[5]) {
    if (nr == SYS_pwrite64) {
        long half[5] = {a[0], a[1], a[2] / 2, a[3], 0};
        return pass(nr, half);
    }
    const struct iovec *from = (const struct iovec *)a[1];
    struct iovec some[64];
    size_t total = 0;
    long count = a[2] < 64 ? a[2] : 64, used = 0;
    for (long i = 0; i < count; i++) total += from[i].iov_len;
    size_t left = total / 2;
    for (; used < count && left > 0; used++) {
        some[used] = from[used];
        if (some[used].iov_len > left) some[used].iov_len = left;
        left -= some[used].iov_len;
    }
    long half[5] = {a[0], (long)some, used, a[3], a[4]};
    return pass(SYS_pwritev, half);
}

static long decide(long nr, const long a[5], enum op op, const char *path) {
    __sync_fetch_and_add(&control->total, 1);
    if (!control->armed || !is_ours(path, op)) return pass(nr, a);
    uint64_t at = __sync_add_and_fetch(&control->counted, 1);
    int now = at == control->nth;
    if (control->action == FAIL && (now || (control->sticky && at > control->nth))) {
        tell("failed", op, path);
        return -(long)control->error;
    }
    if (!now || control->action == NONE || control->action == FAIL) return pass(nr, a);
    if (control->when == BEFORE) {
        tell("before", op, path);
        strike();
        return pass(nr, a);
    }
    int half = control->when == HALF && op == WRITE;
    long result = half ? pass_half(nr, a) : pass(nr, a);
    tell(half ? "within" : "after", op, path);
    strike();
    return result;
}

static long on_fd(long nr, const long a[5], enum op op) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%ld", a[0]);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return pass(nr, a);
    path[length] = 0;
    struct stat found;
    if (op == SYNC && fstat((int)a[0], &found) == 0 && S_ISDIR(found.st_mode)) op = SYNCDIR;
    return decide(nr, a, op, path);
}

/* A path relative to an open directory is made whole. */
static long on_path(long nr, const long a[5], enum op op, long dir, const char *name) {
    char link[64], path[1024];
    if (name[0] == '/' || dir == AT_FDCWD) return decide(nr, a, op, name);
    snprintf(link, sizeof link, "/proc/self/fd/%ld", dir);
    ssize_t length = readlink(link, path, 512);
    if (length <= 0) return decide(nr, a, op, name);
    snprintf(path + length, sizeof path - (size_t)length, "/%s", name);
    return decide(nr, a, op, path);
}

static long on_call(long nr, long a[5]) {
    switch (nr) {
    case SYS_pwritev2: {
        /* Without flags, which is all that is used, it is pwritev. */
        return on_fd(SYS_pwritev, a, WRITE);
    }
    case SYS_pwrite64:
    case SYS_pwritev: return on_fd(nr, a, WRITE);
    case SYS_fsync:
    case SYS_fdatasync: return on_fd(nr, a, SYNC);
    case SYS_syncfs: return on_fd(nr, a, SYNCFS);
    case SYS_ftruncate: return on_fd(nr, a, TRUNCATE);
    case SYS_fallocate: return on_fd(nr, a, RESERVE);
    case SYS_openat: return on_path(nr, a, CREATE, a[0], (const char *)a[1]);
    case SYS_mkdirat: return on_path(nr, a, MKDIR, a[0], (const char *)a[1]);
    case SYS_unlinkat: return on_path(nr, a, REMOVE, a[0], (const char *)a[1]);
    case SYS_renameat:
    case SYS_renameat2: return on_path(nr, a, RENAME, a[0], (const char *)a[1]);
#ifdef SYS_rename
    case SYS_rename: return on_path(nr, a, RENAME, AT_FDCWD, (const char *)a[0]);
    case SYS_mkdir: return on_path(nr, a, MKDIR, AT_FDCWD, (const char *)a[0]);
    case SYS_unlink:
    case SYS_rmdir: return on_path(nr, a, REMOVE, AT_FDCWD, (const char *)a[0]);
#endif
    default: return pass(nr, a);
    }
}

static void on_sigsys(int signal, siginfo_t *info, void *context) {
    (void)signal;
    int kept = errno;
    ucontext_t *at = context;
#if defined(__x86_64__)
    greg_t *r = at->uc_mcontext.gregs;
    long a[5] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8]};
    r[REG_RAX] = on_call(info->si_syscall, a);
#else
    unsigned long long *r = at->uc_mcontext.regs;
    long a[5] = {(long)r[0], (long)r[1], (long)r[2], (long)r[3], (long)r[4]};
    r[0] = (unsigned long long)on_call(info->si_syscall, a);
#endif
    errno = kept;
}

/* The tester's order to cut the power now. */
static void on_order(int signal) {
    (void)signal;
    int kept = errno;
    tell("ordered", SYNC, "");
    strike();
    errno = kept;
}

#define ARG(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD(at) ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at)))
#define GIVE(what) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))
#define WHEN(test, value, yes, no) ((struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (yes), (no)))

static const uint32_t calls[] = {
    SYS_openat,   SYS_pwrite64,  SYS_pwritev, SYS_pwritev2, SYS_fsync,     SYS_fdatasync, SYS_syncfs,
    SYS_ftruncate, SYS_fallocate, SYS_mkdirat, SYS_unlinkat, SYS_renameat2,
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_rename
    SYS_rename, SYS_mkdir, SYS_unlink, SYS_rmdir,
#endif
};
#define CALLS (sizeof calls / sizeof calls[0])

static int install(void) {
    struct sock_filter program[CALLS + 20];
    unsigned n = 0;
    program[n++] = LOAD(offsetof(struct seccomp_data, arch));
    program[n++] = WHEN(BPF_JEQ, ARCH, 1, 0);
    program[n++] = GIVE(SECCOMP_RET_ALLOW);
    program[n++] = LOAD(offsetof(struct seccomp_data, nr));
    /* An open that creates nothing passes. */
    program[n++] = WHEN(BPF_JEQ, SYS_openat, 0, 4);
    program[n++] = LOAD(ARG(2));
    program[n++] = WHEN(BPF_JSET, O_CREAT, 1, 0);
    program[n++] = GIVE(SECCOMP_RET_ALLOW);
    program[n++] = LOAD(offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < CALLS; i++) program[n++] = WHEN(BPF_JEQ, calls[i], CALLS - i, 0);
    program[n++] = GIVE(SECCOMP_RET_ALLOW);
    /* A call of the list is trapped unless its sixth argument is the mark (little-endian). */
    program[n++] = LOAD(ARG(5));
    program[n++] = WHEN(BPF_JEQ, (uint32_t)MAGIC, 0, 2);
    program[n++] = LOAD(ARG(5) + 4);
    program[n++] = WHEN(BPF_JEQ, (uint32_t)(MAGIC >> 32), 1, 0);
    program[n++] = GIVE(SECCOMP_RET_TRAP);
    program[n++] = GIVE(SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {(unsigned short)n, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static void refuse(const char *what) {
    dprintf(2, "the preloaded faults cannot %s: %s\n", what, strerror(errno));
    _exit(97);
}

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("TORTURE_CONTROL");
    if (name == NULL) return;
    /* The broker does not outlive its tester. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) refuse("open the control page");
    control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) refuse("map the control page");
    close(fd);
    root_fd = open(control->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) refuse("open the folder under test");
    struct sigaction action = {0};
    action.sa_sigaction = on_sigsys;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
    if (sigaction(SIGSYS, &action, NULL) != 0) refuse("handle SIGSYS");
    struct sigaction order = {0};
    order.sa_handler = on_order;
    order.sa_flags = SA_RESTART;
    if (sigaction(SIGUSR2, &order, NULL) != 0) refuse("handle SIGUSR2");
    if (install() != 0) refuse("filter its calls");
}
