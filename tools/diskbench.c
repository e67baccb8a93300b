// diskbench: what one append and one sync cost on this file system, bare.
//
//   diskbench DIR MODE LAYOUT SIZE COUNT THREADS SECONDS
//
//   MODE    none, fsync, fdatasync, odsync (O_DSYNC), direct_fdatasync, direct_odsync (O_DIRECT too)
//   LAYOUT  extend (a growing file), fallocate (allocated, not written), overwrite (written before)
//   SIZE    bytes a write; with a direct mode a multiple of 4096
//   COUNT   writes a thread, at most; SECONDS ends it earlier
//
// Each thread writes a file of its own, from start to end. One line of JSON with operations and megabytes a second and the
// latency of write and sync together. The figures to put beside a broker's: its journal overwrites 4 KB blocks.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, FILL_BYTES = 1 << 20, THREADS_MAX = 1024, COUNT_MAX = 10000000, SIZE_MAX_BYTES = 64 << 20 };
typedef enum { SYNC_NONE, SYNC_FSYNC, SYNC_FDATASYNC } sync_call;

static struct {
    const char *directory, *mode, *layout;
    size_t size_bytes;
    long count;
    int threads;
    double seconds;
    int open_flags;
    sync_call sync;
} settings;

typedef struct {
    int number;
    long done;
    double *latencies_s;
    double ended_s;
} worker;

static pthread_barrier_t ready;
static double started_s;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("diskbench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint8_t *aligned_noise(size_t size_bytes) {
    void *memory;
    if (posix_memalign(&memory, BLOCK_BYTES, size_bytes)) fail("no memory for %zu bytes", size_bytes);
    uint8_t *bytes = memory;
    uint32_t state = 1;
    for (size_t i = 0; i < size_bytes; i++) {
        state = state * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(state >> 16);
    }
    return bytes;
}

static void write_whole(int fd, const uint8_t *bytes, size_t size_bytes, off_t at) {
    while (size_bytes) {
        ssize_t written = pwrite(fd, bytes, size_bytes, at);
        if (written < 0) fail("write: %s", strerror(errno));
        bytes += written;
        at += written;
        size_bytes -= (size_t)written;
    }
}

// Create the file as LAYOUT wants it found, on the disk before the clock starts.
static void lay_out(const char *path) {
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) fail("%s: %s", path, strerror(errno));
    off_t total = (off_t)settings.size_bytes * settings.count;
    if (!strcmp(settings.layout, "fallocate")) {
        int problem = posix_fallocate(fd, 0, total);
        if (problem) fail("%s: fallocate: %s", path, strerror(problem));
    } else if (!strcmp(settings.layout, "overwrite")) {
        uint8_t *zeros = calloc(1, FILL_BYTES);
        if (!zeros) fail("no memory");
        for (off_t at = 0; at < total; at += FILL_BYTES)
            write_whole(fd, zeros, (size_t)(total - at < FILL_BYTES ? total - at : FILL_BYTES), at);
        free(zeros);
    }
    if (fsync(fd)) fail("%s: fsync: %s", path, strerror(errno));
    close(fd);
}

static void synchronise(int fd) {
    int problem = settings.sync == SYNC_FSYNC ? fsync(fd) : settings.sync == SYNC_FDATASYNC ? fdatasync(fd) : 0;
    if (problem) fail("sync: %s", strerror(errno));
}

static void *work(void *argument) {
    worker *w = argument;
    char path[4096];
    if (snprintf(path, sizeof path, "%s/diskbench.%d.%d", settings.directory, getpid(), w->number) >= (int)sizeof path)
        fail("%s: the name is too long", settings.directory);
    lay_out(path);
    int fd = open(path, settings.open_flags);
    if (fd < 0) fail("%s: %s", path, strerror(errno));
    unlink(path);  // nothing stays behind, however this ends
    uint8_t *noise = aligned_noise(settings.size_bytes);
    w->latencies_s = malloc(sizeof(double) * (size_t)settings.count);
    if (!w->latencies_s) fail("no memory");
    pthread_barrier_wait(&ready);
    if (w->number == 0) started_s = now_s();
    pthread_barrier_wait(&ready);
    while (w->done < settings.count) {
        double before_s = now_s();
        write_whole(fd, noise, settings.size_bytes, (off_t)settings.size_bytes * w->done);
        synchronise(fd);
        w->ended_s = now_s();
        w->latencies_s[w->done++] = w->ended_s - before_s;
        if (w->ended_s - started_s > settings.seconds) break;
    }
    close(fd);
    free(noise);
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const worker *workers) {
    long total = 0, at = 0;
    double ended_s = started_s;
    for (int i = 0; i < settings.threads; i++) {
        total += workers[i].done;
        if (workers[i].ended_s > ended_s) ended_s = workers[i].ended_s;
    }
    double *all = malloc(sizeof(double) * (size_t)total);
    if (!all) fail("no memory");
    for (int i = 0; i < settings.threads; i++) {
        memcpy(all + at, workers[i].latencies_s, sizeof(double) * (size_t)workers[i].done);
        at += workers[i].done;
    }
    qsort(all, (size_t)total, sizeof(double), ascending);
    double elapsed_s = ended_s - started_s;
    printf("{\"mode\":\"%s\",\"layout\":\"%s\",\"size\":%zu,\"threads\":%d,\"count\":%ld,\"seconds\":%.3f,", settings.mode,
           settings.layout, settings.size_bytes, settings.threads, total, elapsed_s);
    printf("\"ops_per_s\":%.0f,\"mb_per_s\":%.1f,", (double)total / elapsed_s, (double)total * (double)settings.size_bytes / elapsed_s / 1e6);
    printf("\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f}\n", all[total / 2] * 1e6, all[(long)((double)total * .99)] * 1e6,
           all[(long)((double)total * .999)] * 1e6, all[total - 1] * 1e6);
    free(all);
}

static bool one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (!strcmp(word, *words)) return true;
    return false;
}

static long number(const char *name, const char *text, long low, long high) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || end == text || value < low || value > high) fail("%s is %s: a number from %ld to %ld is wanted", name, text, low, high);
    return value;
}

static void parse(char **argv) {
    static const char *const modes[] = {"none", "fsync", "fdatasync", "odsync", "direct_fdatasync", "direct_odsync", NULL};
    static const char *const layouts[] = {"extend", "fallocate", "overwrite", NULL};
    settings.directory = argv[1];
    settings.mode = argv[2];
    settings.layout = argv[3];
    if (!one_of(settings.mode, modes)) fail("%s: no such mode", settings.mode);
    if (!one_of(settings.layout, layouts)) fail("%s: no such layout", settings.layout);
    settings.size_bytes = (size_t)number("SIZE", argv[4], 1, SIZE_MAX_BYTES);
    settings.count = number("COUNT", argv[5], 1, COUNT_MAX);
    settings.threads = (int)number("THREADS", argv[6], 1, THREADS_MAX);
    settings.seconds = atof(argv[7]);
    settings.open_flags = O_RDWR | O_CLOEXEC;
    if (strstr(settings.mode, "odsync")) settings.open_flags |= O_DSYNC;
    if (strstr(settings.mode, "direct")) settings.open_flags |= O_DIRECT;
    if (strstr(settings.mode, "direct") && settings.size_bytes % BLOCK_BYTES) fail("SIZE must be a multiple of %d for %s", BLOCK_BYTES, settings.mode);
    settings.sync = strstr(settings.mode, "fdatasync") ? SYNC_FDATASYNC : !strcmp(settings.mode, "fsync") ? SYNC_FSYNC : SYNC_NONE;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fputs("usage: diskbench DIR MODE LAYOUT SIZE COUNT THREADS SECONDS\n"
              "       diskbench . fdatasync overwrite 4096 5000 1 2\n", stderr);
        return 2;
    }
    parse(argv);
    worker *workers = calloc((size_t)settings.threads, sizeof *workers);
    pthread_t *threads = calloc((size_t)settings.threads, sizeof *threads);
    if (!workers || !threads) fail("no memory");
    pthread_barrier_init(&ready, NULL, (unsigned)settings.threads);
    for (int i = 0; i < settings.threads; i++) {
        workers[i].number = i;
        if (pthread_create(&threads[i], NULL, work, &workers[i])) fail("no thread");
    }
    for (int i = 0; i < settings.threads; i++) pthread_join(threads[i], NULL);
    print_result(workers);
    return 0;
}
