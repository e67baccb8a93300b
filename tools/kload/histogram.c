#include "kload.h"

#include <math.h>

// Values are counted in tenths of a microsecond. Below 256 each has a bucket; above, each doubling is split into 128.
enum { SUB_BUCKETS = 128, LINEAR = 2 * SUB_BUCKETS, DOUBLINGS = 40, BUCKETS = LINEAR + DOUBLINGS * SUB_BUCKETS };
static const double TICKS_PER_US = 10;

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
    double max_us;
};

histogram *histogram_new(void) { return must_allocate(sizeof(histogram)); }

static int bucket_of(uint64_t ticks) {
    if (ticks < LINEAR) return (int)ticks;
    int doubling = 63 - __builtin_clzll(ticks) - 7;  // 256..511 is the first
    if (doubling > DOUBLINGS) return BUCKETS - 1;
    return LINEAR + (doubling - 1) * SUB_BUCKETS + (int)((ticks >> doubling) - SUB_BUCKETS);
}

// The middle of a bucket, in microseconds.
static double middle_us(int bucket) {
    if (bucket < LINEAR) return bucket / TICKS_PER_US;
    int doubling = (bucket - LINEAR) / SUB_BUCKETS + 1;
    int within = (bucket - LINEAR) % SUB_BUCKETS;
    return ldexp(SUB_BUCKETS + within + 0.5, doubling) / TICKS_PER_US;
}

void histogram_add(histogram *h, double us) {
    h->counts[bucket_of(us > 0 ? (uint64_t)(us * TICKS_PER_US) : 0)]++;
    h->total++;
    if (us > h->max_us) h->max_us = us;
}

double histogram_percentile(const histogram *h, double fraction) {
    uint64_t wanted = (uint64_t)(fraction * (double)h->total), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted) return fmin(middle_us(i), h->max_us);
    }
    return h->max_us;
}

double histogram_max(const histogram *h) { return h->max_us; }
