/* Clocks, what the server uses of the machine, latencies. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

/* Latencies in buckets of 50 us, the last one for everything longer. */
enum { BUCKETS = 400000 };
static unsigned buckets[BUCKETS];
static long long latencies;
static double longest;

void fail(const char *what) {
    fprintf(stderr, "bayeux_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* CPU seconds of all processes of the server; of these, those in the kernel. */
double server_cpu(double *in_kernel) {
    double seconds = 0, tick = 1.0 / sysconf(_SC_CLK_TCK);
    *in_kernel = 0;
    for (int i = 0; i < options.pid_count; i++) {
        char name[64], text[1024];
        snprintf(name, sizeof name, "/proc/%d/stat", options.pids[i]);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        size_t length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[length] = 0;
        char *after = strrchr(text, ')');
        unsigned long user, kernel;
        if (!after || sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) continue;
        seconds += (user + kernel) * tick;
        *in_kernel += kernel * tick;
    }
    return seconds;
}

long server_rss_kb(void) {
    long total = 0;
    for (int i = 0; i < options.pid_count; i++) {
        char name[64], line[256];
        snprintf(name, sizeof name, "/proc/%d/status", options.pids[i]);
        FILE *file = fopen(name, "r");
        long kb;
        while (file && fgets(line, sizeof line, file))
            if (sscanf(line, "VmRSS: %ld", &kb) == 1) total += kb;
        if (file) fclose(file);
    }
    return total;
}

double own_cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void note_latency(double seconds) {
    if (seconds > longest) longest = seconds;
    int bucket = seconds < BUCKETS * 50e-6 ? seconds / 50e-6 : BUCKETS - 1;
    buckets[bucket < 0 ? 0 : bucket]++;
    latencies++;
}

void forget_latencies(void) {
    memset(buckets, 0, sizeof buckets);
    latencies = 0;
    longest = 0;
}

double latency_ms(double share) {
    long long wanted = latencies * share, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += buckets[i]) > wanted) return i * 0.05;
    return 0;
}

double longest_ms(void) { return longest * 1e3; }
