/* Preloaded under a process: fails one fsync, fdatasync, syncfs or write with RWF_DSYNC of a chosen file, once.
 *
 * FAIL_SYNC_CONTROL names a file. While it exists, its first line is a piece of a path: the next sync of a file whose path
 * contains it removes the control file and returns EIO (or the number in the second line). The path of a syncfs ends in `:syncfs`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int strikes(int fd, const char *suffix)
{
    const char *control = getenv("FAIL_SYNC_CONTROL");
    FILE *file;
    char wanted[4096], link[64], path[4096 + 16];
    int error = EIO;
    ssize_t length;

    if (!control || !(file = fopen(control, "re")))
        return 0;
    if (!fgets(wanted, sizeof wanted, file)) {
        fclose(file);
        return 0;
    }
    if (fscanf(file, "%d", &error) != 1)
        error = EIO;
    fclose(file);
    wanted[strcspn(wanted, "\n")] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, 4095);
    if (length < 0)
        return 0;
    strcpy(path + length, suffix);
    if (!strstr(path, wanted) || unlink(control))
        return 0; /* another thread was first */
    return error;
}

#define FAILING(name, suffix)                     \
    int name(int fd)                              \
    {                                             \
        static int (*real)(int);                  \
        int error = strikes(fd, suffix);          \
        if (error) {                              \
            errno = error;                        \
            return -1;                            \
        }                                         \
        if (!real)                                \
            real = (int (*)(int))dlsym(RTLD_NEXT, #name); \
        return real(fd);                          \
    }

/* A write with RWF_DSYNC is a sync too; it fails having written, as a sync does. */
#define FAILING_WRITE(name)                                                                   \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t position, int flags)     \
    {                                                                                         \
        static ssize_t (*real)(int, const struct iovec *, int, off_t, int);                   \
        int error = flags & RWF_DSYNC ? strikes(fd, "") : 0;                                  \
        if (!real)                                                                            \
            real = (ssize_t (*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, #name); \
        if (!error)                                                                           \
            return real(fd, parts, count, position, flags);                                   \
        real(fd, parts, count, position, flags & ~RWF_DSYNC);                                 \
        errno = error;                                                                        \
        return -1;                                                                            \
    }

FAILING_WRITE(pwritev2)
FAILING_WRITE(pwritev64v2)
FAILING(fdatasync, "")
FAILING(fsync, "")
FAILING(syncfs, ":syncfs")
