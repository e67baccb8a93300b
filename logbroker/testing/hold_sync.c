/* Preloaded under a process: holds every fsync, fdatasync and write with RWF_DSYNC of a chosen file for as long as a control file exists.
 *
 * HOLD_SYNC_CONTROL names that file; its first line is a piece of a path. Each sync that is held adds a byte to a second file, named
 * like the control with ".held" behind it, before it begins to wait. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int wanted(int fd, const char *control)
{
    char piece[4096], link[64], path[4096];
    FILE *file = fopen(control, "re");
    ssize_t length;

    if (!file)
        return 0;
    if (!fgets(piece, sizeof piece, file)) {
        fclose(file);
        return 0;
    }
    fclose(file);
    piece[strcspn(piece, "\n")] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, piece) != NULL;
}

static void hold(int fd)
{
    const char *control = getenv("HOLD_SYNC_CONTROL");
    char held[4096];
    int note;

    if (!control || !wanted(fd, control))
        return;
    snprintf(held, sizeof held, "%s.held", control);
    note = open(held, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (note >= 0) {
        if (write(note, "x", 1) != 1)
            abort();
        close(note);
    }
    while (access(control, F_OK) == 0)
        usleep(2000);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    hold(fd);
    if (!real)
        real = dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}

int fsync(int fd)
{
    static int (*real)(int);
    hold(fd);
    if (!real)
        real = dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}

#define HOLDING_WRITE(name)                                                                   \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t position, int flags)     \
    {                                                                                         \
        static ssize_t (*real)(int, const struct iovec *, int, off_t, int);                   \
        if (flags & RWF_DSYNC)                                                                \
            hold(fd);                                                                         \
        if (!real)                                                                            \
            real = dlsym(RTLD_NEXT, #name);                                                   \
        return real(fd, parts, count, position, flags);                                       \
    }

HOLDING_WRITE(pwritev2)
HOLDING_WRITE(pwritev64v2)
