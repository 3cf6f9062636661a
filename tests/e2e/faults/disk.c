/*
 * A disk that fails on command: preloaded into the daemon, it stands between it and the files whose
 * path begins as the file named by FAULTS says. That file holds nothing, or one line:
 *
 *     slow MILLISECONDS PATH     each open, read, write and sync takes as long
 *     dead PATH                  each of them fails with EIO
 *     stuck PATH                 each of them waits until the line is another
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Reads the order; answers whether it is about `path`. */
static int ordered(const char *path, char *mode, int *milliseconds) {
    const char *file = getenv("FAULTS");
    char line[4200] = "", target[4100] = "";
    int fd = file ? REAL(open)(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = REAL(read)(fd, line, sizeof line - 1);
    REAL(close)(fd);
    if (length <= 0) return 0;
    *milliseconds = 0;
    if (sscanf(line, "slow %d %4095s", milliseconds, target) == 2) strcpy(mode, "slow");
    else if (sscanf(line, "%7s %4095s", mode, target) != 2) return 0;
    return strncmp(path, target, strlen(target)) == 0;
}

/* Does as ordered; -1 where the call is to fail. */
static int fault(const char *path) {
    char mode[8] = "";
    int milliseconds, waited = 0;
    while (ordered(path, mode, &milliseconds)) {
        if (strcmp(mode, "dead") == 0) {
            errno = EIO;
            return -1;
        }
        if (strcmp(mode, "slow") == 0 && waited >= milliseconds) return 0;
        usleep(1000);
        waited++;
    }
    return 0;
}

static int fault_of(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fault(path);
}

#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...) {                            \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                       \
        return fault(path) ? -1 : REAL(name)(path, flags, mode);            \
    }
OPEN(open)
OPEN(open64)

#define ON_FD(type, name, parameters, arguments)                            \
    type name parameters { return fault_of(fd) ? -1 : REAL(name) arguments; }
ON_FD(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
ON_FD(ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
ON_FD(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
ON_FD(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count))
ON_FD(ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
ON_FD(int, fsync, (int fd), (fd))
ON_FD(int, fdatasync, (int fd), (fd))
