/* What the parts of the load generator share; main.c says what it does. */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>

/* Where a connection is.  REPLYING: its answers concern no client (a publisher's). */
enum step { UPGRADE, HANDSHAKE, SUBSCRIBE, FIRST_CONNECT, HOLDING, REPLYING, LEAVING, BROKEN };

enum transport { POLLING, WEBSOCKET, MIX };

struct client {
    char id[64], cookie[160];
    long acknowledged; /* number of the latest batch that it has, -1: none */
    int last_id;       /* of its messages: they are numbered, as those of real clients */
};

/* A connection; ``framed``: it is a websocket now, ``busy``: a publish waits for its reply. */
struct connection {
    int fd, client;
    enum step step;
    int framed, busy, watches_out;
    double sent_at;
    char *in, *out;
    size_t in_length, in_room, out_length, out_room;
    void *tls;
};

/* Options, as main.c read them. */
struct options {
    const char *address, *path, *cipher, *name;
    enum transport transport;
    int port, count, channels, more, window, idle, upstream, events, ack, polite;
    int payload, ramp, pids[16], pid_count;
    double rate, duration, settling;
};

extern struct options options;
extern struct client *clients;
extern struct connection *connections; /* the clients', then the publishers' */
extern int publisher_count, ready, stopping, outstanding;
extern long long errors, published, delivered;

/* meter.c: clocks, the server's use of the machine, latencies. */
double now(void);
double server_cpu(double *in_kernel);
long server_rss_kb(void);
double own_cpu(void);
void note_latency(double seconds);
void forget_latencies(void);
double latency_ms(double share);
double longest_ms(void);
void fail(const char *what) __attribute__((noreturn));

/* wire.c: sockets, TLS, HTTP and websocket framing. */
void open_epoll(void);
void open_connection(struct connection *one);
void send_upgrade(struct connection *one);
void send_body(struct connection *one, const char *path, const char *body, size_t length);
void turn(int wait_ms);

/* client.c: what clients and publishers say. */
void received(struct connection *one, const char *body, size_t length);
void upgraded(struct connection *one);
void start_clients(void);
void open_publishers(void);
void make_subscriptions(void);
void publish_what_is_due(double until);
void start_publishing(void);
void leave(void);

#endif
