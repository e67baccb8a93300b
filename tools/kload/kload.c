// kload: load on the Kafka wire protocol with as little client cost as C and epoll allow.
//
//   kload produce HOST PORT TOPIC [options]    requests on some connections, each with some in flight
//   kload fetch   HOST PORT TOPIC [options]    one connection reads every partition from its start to its end
//
// One line of JSON on standard output at the end. The topic must exist, and its partitions be led by the broker dialled.
// Exit status: 0 done, 1 the broker answered with errors or nothing, 2 wrong usage, 3 the connection failed.
#include "kload.h"
#include "wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: kload produce HOST PORT TOPIC [options]\n"
    "         -c N     connections (1)\n"
    "         -d N     requests in flight on each connection (1, at most 1000)\n"
    "         -b N     records in a batch (1)\n"
    "         -s N     bytes in a value (1024)\n"
    "         -p N     partitions of the topic to use (1); with more than connections, each request goes to the next one\n"
    "         -t S     seconds (5); the first 15 % warm up and are not counted\n"
    "         -n N     go on past -t until N bytes of values were acknowledged, at most 20 x -t\n"
    "         -r N     stop after N requests were acknowledged, if that is earlier\n"
    "         -a N     acks: -1, 0 or 1 (-1)\n"
    "         -k N     different batches to send in turn (16, fewer where they are large)\n"
    "         -u       every batch holds a number of its own, in the first eight bytes of its first value\n"
    "         -w FILE  write a line for every acknowledged batch: partition, base offset, records, and with -u its number\n"
    "       kload fetch HOST PORT TOPIC [options]\n"
    "         -p N     partitions (1)\n"
    "         -m N     bytes to ask for in one response (1048576)\n"
    "         -n N     stop after N bytes (0: at the end)\n"
    "         -q N     partitions to ask for in one request (all)\n"
    "         -r N     stop after N requests; each begins with the next partition\n"
    "         -v       check the CRC of every batch\n";

void fail(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("kload: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void *must_allocate(size_t size_bytes) {
    void *memory = calloc(1, size_bytes);
    if (!memory) fail(EXIT_USAGE, "no memory for %zu bytes", size_bytes);
    return memory;
}

int dial(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int problem = getaddrinfo(host, port, &hints, &found);
    if (problem) fail(EXIT_CONNECTION, "%s: %s", host, gai_strerror(problem));
    int fd = -1;
    for (struct addrinfo *each = found; each && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0) fail(EXIT_CONNECTION, "%s:%s: %s", host, port, strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int64_t number(int option, const char *text, int64_t low, int64_t high) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value < low || value > high)
        fail(EXIT_USAGE, "-%c %s: a number from %lld to %lld is wanted", option, text, (long long)low, (long long)high);
    return value;
}

static options parse(int argc, char **argv) {
    enum { DEPTH_MAX = 1000, CONNECTIONS_MAX = 20000, PARTITIONS_MAX = 1000000, BATCH_MAX = 100 << 20 };
    options o = {.host = argv[2], .port = argv[3], .topic = argv[4], .connections = 1, .depth = 1, .records = 1,
                 .value_bytes = 1024, .partitions = 1, .seconds = 5, .acks = -1, .max_bytes = 1 << 20,
                 .pool_batches = 16};
    if (strlen(o.topic) > 249) fail(EXIT_USAGE, "a topic name has at most 249 characters");
    optind = 5;
    int option;
    while ((option = getopt(argc, argv, "c:d:b:s:p:t:a:m:n:r:q:k:w:uv")) != -1) switch (option) {
            case 'c': o.connections = (int)number('c', optarg, 1, CONNECTIONS_MAX); break;
            case 'd': o.depth = (int)number('d', optarg, 1, DEPTH_MAX); break;
            case 'b': o.records = (int)number('b', optarg, 1, 1 << 20); break;
            case 's': o.value_bytes = (int)number('s', optarg, 0, BATCH_MAX); break;
            case 'p': o.partitions = (int)number('p', optarg, 1, PARTITIONS_MAX); break;
            case 't': o.seconds = atof(optarg); break;
            case 'a': o.acks = (int)number('a', optarg, -1, 1); break;
            case 'm': o.max_bytes = number('m', optarg, 1, 1 << 30); break;
            case 'n': o.stop_bytes = number('n', optarg, 0, INT64_MAX); break;
            case 'r': o.requests = number('r', optarg, 0, INT64_MAX); break;
            case 'q': o.asked_at_once = (int)number('q', optarg, 1, PARTITIONS_MAX); break;
            case 'k': o.pool_batches = (int)number('k', optarg, 1, 100000); break;
            case 'w': o.ack_log = optarg; break;
            case 'u': o.unique = true; break;
            case 'v': o.verify = true; break;
            default: exit(EXIT_USAGE);
        }
    if (optind < argc) fail(EXIT_USAGE, "what is %s? Options come after the topic", argv[optind]);
    if (o.seconds <= 0) fail(EXIT_USAGE, "-t: more than 0 seconds are wanted");
    if (batch_bytes_max(o.records, o.value_bytes) > BATCH_MAX) fail(EXIT_USAGE, "a batch that large is not sent");
    if (o.unique && o.value_bytes < SEQUENCE_BYTES) fail(EXIT_USAGE, "-u needs values of at least 8 bytes (-s)");
    if (o.acks == 0 && o.ack_log) fail(EXIT_USAGE, "-w: nothing is acknowledged with -a 0");
    return o;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fputs(USAGE, stderr);
        return EXIT_USAGE;
    }
    options o = parse(argc, argv);
    if (!strcmp(argv[1], "produce")) return produce(&o);
    if (!strcmp(argv[1], "fetch")) return fetch(&o);
    fail(EXIT_USAGE, "%s: produce or fetch is wanted", argv[1]);
}
