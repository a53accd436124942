/* A load generator for Bayeux servers: one thread, epoll, no dependencies.
 *
 *   gcc -O2 -o bayeux_load bayeux_load.c
 *   bayeux_load -p 8080 -u /genesys/cometd -t lp -n 1000 -w 1 -d 5 -P SERVER_PID
 *
 * Every client has one connection, on which it holds /meta/connect (lp) or a websocket
 * (ws), and subscribes to one channel.  Publishers use connections of their own, in the
 * sessions of the first clients (with ws: their sockets).
 *
 *   -h ADDRESS  -p PORT  -u PATH   where the server is (127.0.0.1, 8080, /genesys/cometd)
 *   -t lp|ws        transport
 *   -n N            clients
 *   -w W            closed loop: W publishes outstanding, the next one goes out when every
 *                   subscriber has the oldest (default 1)
 *   -r R            open loop instead: R publishes a second, latency from the time they
 *                   were due, so a slow server cannot hide it
 *   -i              publish nothing: hold all clients for the duration
 *   -d SECONDS      measured duration (5), after -s SECONDS of settling (1)
 *   -b BYTES        payload besides the counters (64)
 *   -c C            clients connecting at the same time (50)
 *   -P PID          a process of the server, for CPU and memory; may be repeated
 *
 * Prints one JSON line:
 *   clients, published, delivered, ratio (delivered / (published * clients): 1.0 is right),
 *   deliveries_per_s, cpu_us (server CPU per delivered message), cpu_cores (used by the
 *   server), rss_kb (growth per client), ramp_s (all clients connected), p50_ms, p99_ms,
 *   max_ms, generator_cores (near 1: the generator is the limit), errors.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum step { IDLE, UPGRADE, HANDSHAKE, SUBSCRIBE, FIRST_CONNECT, HOLDING, PUBLISHING, BROKEN };

struct client {
    char id[64], cookie[160];
};

struct connection {
    int fd, client;
    enum step step;
    int is_publisher, busy;
    char *in, *out;
    size_t in_length, in_room, out_length, out_room;
};

static const char *address = "127.0.0.1", *path = "/genesys/cometd";
static int port = 8080, websocket, count = 100, window = 1, idle, payload = 64, ramp = 50;
static double rate, duration = 5, settling = 1;
static int pids[16], pid_count;

static struct client *clients;
static struct connection *connections;
static int publisher_count, ready, next_to_start, starting, epoll_fd;
static long long errors, published, delivered;
static int stopping;

/* Publishes under way: when each was sent, and how many subscribers lack it. */
enum { SLOTS = 65536 };
static double sent_at[SLOTS];
static int missing[SLOTS];
static int outstanding;

/* Latencies in buckets of 50 us, the last one for everything longer. */
enum { BUCKETS = 400000 };
static unsigned latency[BUCKETS];
static long long latencies;
static double longest;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "bayeux_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grown(void *block, size_t *room, size_t wanted) {
    if (wanted <= *room) return block;
    while (*room < wanted) *room = *room ? *room * 2 : 1024;
    block = realloc(block, *room);
    if (!block) fail("memory");
    return block;
}

static double server_cpu(void) {
    double seconds = 0;
    for (int i = 0; i < pid_count; i++) {
        char name[64], text[1024];
        snprintf(name, sizeof name, "/proc/%d/stat", pids[i]);
        FILE *file = fopen(name, "r");
        if (!file) continue;
        size_t length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[length] = 0;
        char *after = strrchr(text, ')');
        unsigned long user, kernel;
        if (after && sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) == 2)
            seconds += (double)(user + kernel) / sysconf(_SC_CLK_TCK);
    }
    return seconds;
}

static long server_rss_kb(void) {
    long total = 0;
    for (int i = 0; i < pid_count; i++) {
        char name[64], line[256];
        snprintf(name, sizeof name, "/proc/%d/status", pids[i]);
        FILE *file = fopen(name, "r");
        long kb;
        while (file && fgets(line, sizeof line, file))
            if (sscanf(line, "VmRSS: %ld", &kb) == 1) total += kb;
        if (file) fclose(file);
    }
    return total;
}

static double own_cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* --- sending ------------------------------------------------------------------------ */

static void watch(struct connection *one, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (one->out_length ? EPOLLOUT : 0), .data.ptr = one};
    if (epoll_ctl(epoll_fd, operation, one->fd, &event) < 0) fail("epoll_ctl");
}

static void flush_out(struct connection *one) {
    size_t done = 0, had = one->out_length;
    while (done < one->out_length) {
        ssize_t sent = send(one->fd, one->out + done, one->out_length - done, MSG_NOSIGNAL);
        if (sent < 0) break;
        done += sent;
    }
    memmove(one->out, one->out + done, one->out_length - done);
    one->out_length -= done;
    if ((had != 0) || one->out_length) watch(one, EPOLL_CTL_MOD);
}

static void queue_bytes(struct connection *one, const void *bytes, size_t length) {
    one->out = grown(one->out, &one->out_room, one->out_length + length);
    memcpy(one->out + one->out_length, bytes, length);
    one->out_length += length;
}

static void send_text(struct connection *one, const char *body, size_t length) {
    char head[1024];
    int size;
    if (websocket) {
        unsigned char frame[14] = {0x81};
        size = 2;
        if (length < 126) {
            frame[1] = 0x80 | length;
        } else {
            frame[1] = 0x80 | 126;
            frame[2] = length >> 8;
            frame[3] = length;
            size = 4;
        }
        /* A mask of zeros is a legal mask, and costs the generator nothing. */
        memset(frame + size, 0, 4);
        queue_bytes(one, frame, size + 4);
    } else {
        struct client *who = &clients[one->client];
        size = snprintf(head, sizeof head,
                        "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%s%s%sContent-Length: %zu\r\n\r\n",
                        path, address, port, who->cookie[0] ? "Cookie: " : "", who->cookie,
                        who->cookie[0] ? "\r\n" : "", length);
        queue_bytes(one, head, size);
    }
    queue_bytes(one, body, length);
    flush_out(one);
}

static void send_message(struct connection *one, const char *format, ...) {
    char body[8192];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    send_text(one, body, length);
}

static void send_connect(struct connection *one) {
    /* The first one asks for its answer at once: some servers would hold it. */
    const char *advice = one->step == FIRST_CONNECT ? ",\"advice\":{\"timeout\":0}" : "";
    send_message(one, "[{\"channel\":\"/meta/connect\",\"clientId\":\"%s\",\"connectionType\":\"%s\",\"id\":\"3\"%s}]",
                 clients[one->client].id, websocket ? "websocket" : "long-polling", advice);
}

static void send_step(struct connection *one) {
    const char *kind = websocket ? "websocket" : "long-polling", *id = clients[one->client].id;
    switch (one->step) {
    case HANDSHAKE:
        send_message(one, "[{\"channel\":\"/meta/handshake\",\"version\":\"1.0\",\"supportedConnectionTypes\":[\"%s\"],\"id\":\"1\"}]", kind);
        break;
    case SUBSCRIBE:
        send_message(one, "[{\"channel\":\"/meta/subscribe\",\"clientId\":\"%s\",\"subscription\":\"/bench/all\",\"id\":\"2\"}]", id);
        break;
    default:
        send_connect(one);
    }
}

static void publish(struct connection *one, double due) {
    static char filler[4096];
    if (!filler[0]) memset(filler, 'x', sizeof filler - 1);
    int slot = published % SLOTS;
    sent_at[slot] = due;
    missing[slot] = count;
    outstanding++;
    one->busy = 1;
    send_message(one, "[{\"channel\":\"/bench/all\",\"clientId\":\"%s\",\"id\":\"4\",\"data\":{\"seq\":%lld,\"pad\":\"%.*s\"}}]",
                 clients[one->client].id, published, payload, filler);
    published++;
}

/* --- opening ------------------------------------------------------------------------ */

static void open_connection(struct connection *one) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0) fail("socket");
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
    int on = 1;
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    watch(one, EPOLL_CTL_ADD);
}

static void start_clients(void) {
    while (starting < ramp && next_to_start < count) {
        struct connection *one = &connections[next_to_start++];
        starting++;
        open_connection(one);
        if (websocket) {
            char head[512];
            one->step = UPGRADE;
            int size = snprintf(head, sizeof head,
                                "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                                path, address, port);
            queue_bytes(one, head, size);
            flush_out(one);
        } else {
            one->step = HANDSHAKE;
            send_step(one);
        }
    }
}

/* --- receiving ---------------------------------------------------------------------- */

static void note_delivery(long long sequence) {
    int slot = sequence % SLOTS;
    delivered++;
    double took = now() - sent_at[slot];
    if (took > longest) longest = took;
    int bucket = took / 50e-6;
    latency[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    latencies++;
    if (--missing[slot] == 0) outstanding--;
}

static void count_deliveries(const char *body, size_t length) {
    static const char mark[] = "\"seq\":";
    const char *at = body, *end = body + length;
    while ((at = memmem(at, end - at, mark, sizeof mark - 1))) {
        at += sizeof mark - 1;
        note_delivery(strtoll(at, NULL, 10));
    }
}

static int has(const char *body, size_t length, const char *text) {
    return memmem(body, length, text, strlen(text)) != NULL;
}

static void remember_id(struct connection *one, const char *body, size_t length) {
    static const char mark[] = "\"clientId\":\"";
    const char *at = memmem(body, length, mark, sizeof mark - 1);
    if (!at) {
        errors++;
        one->step = BROKEN;
        return;
    }
    sscanf(at + sizeof mark - 1, "%63[^\"]", clients[one->client].id);
}

/* One payload of the server; HTTP or websocket does not matter any more. */
static void received(struct connection *one, const char *body, size_t length) {
    if (has(body, length, "\"successful\":false")) errors++;
    if (one->is_publisher) {
        one->busy = 0;
        count_deliveries(body, length);
        return;
    }
    switch (one->step) {
    case HANDSHAKE:
        remember_id(one, body, length);
        if (one->step == BROKEN) return;
        one->step = SUBSCRIBE;
        send_step(one);
        return;
    case SUBSCRIBE:
        one->step = FIRST_CONNECT;
        send_step(one);
        return;
    case FIRST_CONNECT:
        one->step = HOLDING;
        ready++;
        starting--;
        send_connect(one);
        start_clients();
        return;
    default:
        if (websocket && has(body, length, "\"id\":\"4\"")) one->busy = 0;
        count_deliveries(body, length);
        if (has(body, length, "/meta/connect") && !stopping) send_connect(one);
    }
}

static void remember_cookie(struct connection *one, const char *head, size_t length) {
    static const char mark[] = "\nSet-Cookie: ", small[] = "\nset-cookie: ";
    const char *at = memmem(head, length, mark, sizeof mark - 1);
    if (!at) at = memmem(head, length, small, sizeof small - 1);
    if (at) sscanf(at + sizeof mark - 1, "%159[^;\r]", clients[one->client].cookie);
}

/* The length of a chunked body from ``at``; decodes it in place.  -1: not complete. */
static ssize_t dechunk(char *at, char *end, char **rest) {
    char *to = at, *from = at;
    for (;;) {
        char *line = memmem(from, end - from, "\r\n", 2);
        if (!line) return -1;
        size_t size = strtoul(from, NULL, 16);
        from = line + 2;
        if (end - from < (ssize_t)size + 2) return -1;
        if (!size) break;
        memmove(to, from, size);
        to += size;
        from += size + 2;
    }
    *rest = from + 2;
    return to - at;
}

/* Whether all of a chunked body is there; looks without touching. */
static int chunks_complete(const char *from, const char *end) {
    for (;;) {
        const char *line = memmem(from, end - from, "\r\n", 2);
        if (!line) return 0;
        size_t size = strtoul(from, NULL, 16);
        from = line + 2;
        if (end - from < (ssize_t)size + 2) return 0;
        if (!size) return 1;
        from += size + 2;
    }
}

static size_t take_response(struct connection *one, char *start, char *end) {
    char *blank = memmem(start, end - start, "\r\n\r\n", 4);
    if (!blank) return 0;
    char *body = blank + 4, *rest = body;
    if (one->step == UPGRADE) {
        if (strncmp(start, "HTTP/1.1 101", 12)) fail("websocket upgrade refused");
        one->step = HANDSHAKE;
        send_step(one);
        return body - start;
    }
    size_t head_length = blank - start;
    char *length_line = strcasestr(start, "\ncontent-length:");
    ssize_t length;
    if (length_line && length_line < blank) {
        length = strtol(length_line + 16, NULL, 10);
        if (end - body < length) return 0;
        rest = body + length;
    } else {
        if (!chunks_complete(body, end)) return 0;
        length = dechunk(body, end, &rest);
    }
    if (strncmp(start + 8, " 200", 4)) errors++;
    if (one->step == HANDSHAKE) remember_cookie(one, start, head_length + 2);
    received(one, body, length);
    return rest - start;
}

static size_t take_frame(struct connection *one, char *start, char *end) {
    unsigned char *at = (unsigned char *)start;
    size_t room = end - start, length, head = 2;
    if (room < 2) return 0;
    length = at[1] & 127;
    if (length == 126) {
        if (room < 4) return 0;
        length = at[2] << 8 | at[3];
        head = 4;
    } else if (length == 127) {
        if (room < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | at[i];
        head = 10;
    }
    if (room < head + length) return 0;
    if ((at[0] & 15) == 1) received(one, start + head, length);
    if ((at[0] & 15) == 8) errors++;
    return head + length;
}

static void read_all(struct connection *one) {
    for (;;) {
        one->in = grown(one->in, &one->in_room, one->in_length + 16384);
        ssize_t got = recv(one->fd, one->in + one->in_length, one->in_room - one->in_length - 1, 0);
        if (got == 0) {
            if (!stopping) errors++;
            epoll_ctl(epoll_fd, EPOLL_CTL_DEL, one->fd, NULL);
            close(one->fd);
            one->step = BROKEN;
            return;
        }
        if (got < 0) break;
        one->in_length += got;
        one->in[one->in_length] = 0;
        if (got < 8192) break;
    }
    size_t done = 0, taken;
    do {
        char *start = one->in + done, *end = one->in + one->in_length;
        taken = websocket && one->step != UPGRADE ? take_frame(one, start, end) : take_response(one, start, end);
        done += taken;
    } while (taken && one->step != BROKEN);
    memmove(one->in, one->in + done, one->in_length - done);
    one->in_length -= done;
    /* An idle client holds no buffer: the generator must not be what runs out of memory. */
    if (!one->in_length && one->in_room > 65536) {
        free(one->in);
        one->in = NULL;
        one->in_room = 0;
    }
}

static void turn(int wait_ms) {
    struct epoll_event events[512];
    int number = epoll_wait(epoll_fd, events, 512, wait_ms);
    for (int i = 0; i < number; i++) {
        struct connection *one = events[i].data.ptr;
        if (one->step == BROKEN) continue;
        if (events[i].events & EPOLLOUT) flush_out(one);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_all(one);
    }
}

static struct connection *free_publisher(void) {
    static int last;
    for (int i = 0; i < publisher_count; i++) {
        struct connection *one = websocket ? &connections[(last + i) % publisher_count]
                                           : &connections[count + (last + i) % publisher_count];
        if (!one->busy && one->step != BROKEN) {
            last = (last + i + 1) % publisher_count;
            return one;
        }
    }
    return NULL;
}

static double next_due;

static void publish_what_is_due(double until) {
    if (idle || now() >= until) return;
    if (rate > 0) {
        while (next_due <= now()) {
            struct connection *one = free_publisher();
            if (!one) return;
            publish(one, next_due);
            next_due += 1 / rate;
        }
        return;
    }
    while (outstanding < window) {
        struct connection *one = free_publisher();
        if (!one) return;
        publish(one, now());
    }
}

static void run_until(double until, int publishing) {
    while (now() < until) {
        if (publishing) publish_what_is_due(until);
        turn(rate > 0 ? 1 : 5);
    }
}

static double percentile(double share) {
    long long wanted = latencies * share, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += latency[i]) > wanted) return i * 0.05;
    return 0;
}

int main(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "h:p:u:t:n:w:r:id:s:b:c:P:")) != -1) {
        switch (option) {
        case 'h': address = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 't': websocket = !strcmp(optarg, "ws"); break;
        case 'n': count = atoi(optarg); break;
        case 'w': window = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'i': idle = 1; break;
        case 'd': duration = atof(optarg); break;
        case 's': settling = atof(optarg); break;
        case 'b': payload = atoi(optarg) < 4000 ? atoi(optarg) : 4000; break;
        case 'c': ramp = atoi(optarg); break;
        case 'P': if (pid_count < 16) pids[pid_count++] = atoi(optarg); break;
        default: return 2;
        }
    }
    struct rlimit files = {count + 200, count + 200};
    setrlimit(RLIMIT_NOFILE, &files);
    publisher_count = count < 16 ? count : 16;
    clients = calloc(count, sizeof *clients);
    connections = calloc(count + publisher_count, sizeof *connections);
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < count; i++) connections[i].client = i;

    long rss_before = server_rss_kb();
    double began = now();
    start_clients();
    while (ready < count) {
        turn(100);
        if (now() - began > 60) {
            fprintf(stderr, "bayeux_load: only %d of %d clients connected\n", ready, count);
            return 1;
        }
    }
    double ramp_s = now() - began;
    for (int i = 0; !websocket && i < publisher_count; i++) {
        struct connection *one = &connections[count + i];
        one->client = i;
        one->is_publisher = 1;
        one->step = PUBLISHING;
        open_connection(one);
    }
    next_due = now();
    run_until(now() + settling, 1);
    long rss_after = server_rss_kb();

    long long published_before = published, delivered_before = delivered;
    memset(latency, 0, sizeof latency);
    latencies = 0;
    longest = 0;
    double cpu = server_cpu(), own = own_cpu(), start = now();
    run_until(start + duration, 1);
    double took = now() - start;
    cpu = server_cpu() - cpu;
    own = own_cpu() - own;
    long long messages = delivered - delivered_before;
    double rate_seen = messages / took, p50 = percentile(0.5), p99 = percentile(0.99), worst = longest;
    (void)published_before;

    /* What is still on its way arrives before the ratio is taken. */
    double patience = now() + 5;
    while (outstanding && now() < patience) turn(10);
    stopping = 1;
    printf("{\"clients\":%d,\"published\":%lld,\"delivered\":%lld,\"ratio\":%.4f,\"deliveries_per_s\":%.0f,"
           "\"cpu_us\":%.2f,\"cpu_cores\":%.3f,\"rss_kb\":%.2f,\"ramp_s\":%.2f,"
           "\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.1f,\"generator_cores\":%.2f,\"errors\":%lld}\n",
           count, published, delivered, published ? (double)delivered / ((double)published * count) : 1.0, rate_seen,
           messages ? cpu * 1e6 / messages : 0, cpu / took, (double)(rss_after - rss_before) / count, ramp_s, p50, p99,
           worst * 1e3, own / took, errors);
    return errors ? 1 : 0;
}
