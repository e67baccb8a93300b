// What the two modes of kload share: options, the connection, the clock, the latency histogram.
#ifndef KLOAD_H
#define KLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *host, *port, *topic;
    int connections;       // -c
    int depth;             // -d  requests in flight on each connection
    int records;           // -b  records in a batch
    int value_bytes;       // -s
    int partitions;        // -p
    double seconds;        // -t
    int acks;              // -a
    int64_t stop_bytes;    // -n  fetch: stop after so many; produce: go on until so many were acknowledged
    int64_t requests;      // -r  stop after so many requests
    int asked_at_once;     // -q  fetch: partitions in one request
    int64_t max_bytes;     // -m  fetch: response size asked for
    int pool_batches;      // -k  different batches to send in turn
    const char *ack_log;   // -w
    bool unique;           // -u  a number of its own in every batch
    bool verify;           // -v  fetch: check every batch's CRC
} options;

enum { EXIT_BAD_RESULT = 1, EXIT_USAGE = 2, EXIT_CONNECTION = 3 };

// Print to stderr and leave.
_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

double now_s(void);
int dial(const char *host, const char *port);
void *must_allocate(size_t size_bytes);

// Latencies in a log-linear histogram: exact count and maximum, percentiles to within 1 %.
typedef struct histogram histogram;
histogram *histogram_new(void);
void histogram_add(histogram *h, double us);
double histogram_percentile(const histogram *h, double fraction);
double histogram_max(const histogram *h);

int produce(const options *o);
int fetch(const options *o);

#endif
