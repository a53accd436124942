/* What clients and publishers say, and what becomes of it. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct client *clients;
struct connection *connections;
int publisher_count, ready, stopping, outstanding;
long long errors, published, delivered;

static int next_to_start, starting;
static double next_due;

/* Publishes under way: when each was sent, and how many subscribers lack it. */
enum { SLOTS = 65536, BODY = 32768 };
static double sent_at[SLOTS];
static int missing[SLOTS];

static const char EVENTS[] = "/genesys/1/notification";

static void send_message(struct connection *one, const char *format, ...) {
    static char body[BODY];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    if (length >= BODY) fail("a message is too long");
    send_body(one, options.path, body, length);
}

/* Whether a client uses a websocket: all, none, or of a mix every other one. */
static int on_websocket(int client) { return options.transport == MIX ? client & 1 : options.transport == WEBSOCKET; }

static const char *kind(struct connection *one) {
    return on_websocket(one->client) ? "websocket" : "long-polling";
}

/* --- the way of a client -------------------------------------------------------------------- */

static void send_connect(struct connection *one) {
    /* The first one asks for its answer at once: some servers would hold it. */
    const char *advice = one->step == FIRST_CONNECT ? ",\"advice\":{\"timeout\":0}" : "";
    char ext[48] = "";
    struct client *who = &clients[one->client];
    if (options.ack) snprintf(ext, sizeof ext, ",\"ext\":{\"ack\":%ld}", who->acknowledged);
    send_message(one, "[{\"channel\":\"/meta/connect\",\"clientId\":\"%s\",\"connectionType\":\"%s\",\"id\":\"%d\"%s%s}]",
                 who->id, kind(one), ++who->last_id, advice, ext);
}

/* Everybody has one channel that is published to, and ``more`` that nobody publishes to. */
static void send_subscribe(struct connection *one) {
    static char names[BODY - 256];
    int size = options.events ? snprintf(names, sizeof names, "\"/_genesys\"")
                              : snprintf(names, sizeof names, "\"/%s/c%d\"", options.name, one->client % options.channels);
    for (int i = 0; i < options.more && size < (int)sizeof names - 64; i++)
        size += snprintf(names + size, sizeof names - size, ",\"/more/u%d/c%d\"", one->client, i);
    const char *open = options.more ? "[" : "", *close = options.more ? "]" : "";
    send_message(one, "[{\"channel\":\"/meta/subscribe\",\"clientId\":\"%s\",\"subscription\":%s%s%s,\"id\":\"2\"}]",
                 clients[one->client].id, open, names, close);
    clients[one->client].last_id = 2;
}

static void send_handshake(struct connection *one) {
    send_message(one,
                 "[{\"channel\":\"/meta/handshake\",\"version\":\"1.0\",\"supportedConnectionTypes\":[\"%s\"],"
                 "\"id\":\"1\"%s}]",
                 kind(one), options.ack ? ",\"ext\":{\"ack\":true}" : "");
}

void start_clients(void) {
    while (starting < options.ramp && next_to_start < options.count) {
        struct connection *one = &connections[next_to_start++];
        starting++;
        open_connection(one);
        one->step = on_websocket(one->client) ? UPGRADE : HANDSHAKE;
        if (one->step == UPGRADE)
            send_upgrade(one);
        else
            send_handshake(one);
    }
}

void upgraded(struct connection *one) {
    one->step = HANDSHAKE;
    send_handshake(one);
}

/* --- publishing ------------------------------------------------------------------------------ */

/* Publishers have connections of their own, in the sessions of the first clients that poll; on
   websockets they are the first clients' own, but for events, which are published by HTTP. */
static struct connection *publisher(int number) {
    int shared = options.transport == WEBSOCKET && !options.events;
    return &connections[shared ? number : options.count + number];
}

void open_publishers(void) {
    for (int i = 0; i < publisher_count; i++) {
        struct connection *one = publisher(i);
        if (one < connections + options.count) return;
        one->client = options.transport == MIX ? 2 * i : i;
        one->step = REPLYING;
        open_connection(one);
    }
}

static struct connection *free_publisher(void) {
    static int last;
    for (int i = 0; i < publisher_count; i++) {
        struct connection *one = publisher((last + i) % publisher_count);
        if (!one->busy && one->step != BROKEN) {
            last = (last + i + 1) % publisher_count;
            return one;
        }
    }
    return NULL;
}

/* One subscription for each user, so that an event has one receiver. */
void make_subscriptions(void) {
    static char body[512];
    for (int next = 0; next < options.count;) {
        struct connection *one = free_publisher();
        if (one) {
            int length = snprintf(body, sizeof body,
                                  "{\"subscriberId\":\"user%d\",\"filter\":\"bench.user%d\",\"expire\":86400,"
                                  "\"notificationDetails\":{\"type\":\"comet\"}}",
                                  next, next);
            char path[128];
            snprintf(path, sizeof path, "%s/subscription", EVENTS);
            one->client = next++;
            one->busy = 1;
            one->step = HOLDING; /* says whose subscription it is */
            send_body(one, path, body, length);
            one->step = REPLYING;
        } else {
            turn(10);
        }
    }
    for (int i = 0; i < publisher_count; i++)
        while (publisher(i)->busy) turn(10);
}

static void publish(struct connection *one, double due) {
    static char filler[4096];
    if (!filler[0]) memset(filler, 'x', sizeof filler - 1);
    int slot = published % SLOTS, to = published % options.channels;
    const char *id = clients[one->client].id;
    sent_at[slot] = one->sent_at = due;
    one->busy = 1;
    if (options.upstream) {
        send_message(one, "[{\"channel\":\"/up/c%d\",\"clientId\":\"%s\",\"id\":\"p%lld\",\"data\":{\"pad\":\"%.*s\"}}]",
                     one->client, id, published, options.payload, filler);
        published++;
        return;
    }
    missing[slot] = options.events ? 1 : options.count / options.channels + (to < options.count % options.channels);
    outstanding++;
    if (options.events) {
        static char body[8192], path[128];
        int length = snprintf(body, sizeof body, "{\"tag\":\"bench.user%lld\",\"message\":\"seq-%lld %.*s\"}",
                              published % options.count, published, options.payload, filler);
        snprintf(path, sizeof path, "%s/publish", EVENTS);
        send_body(one, path, body, length);
    } else {
        send_message(one, "[{\"channel\":\"/%s/c%d\",\"clientId\":\"%s\",\"id\":\"p%lld\",\"data\":{\"m\":\"seq-%lld %.*s\"}}]",
                     options.name, to, id, published, published, options.payload, filler);
    }
    published++;
}

void start_publishing(void) { next_due = now(); }

void publish_what_is_due(double until) {
    if (options.idle || now() >= until) return;
    if (options.upstream) {
        for (int i = 0; i < publisher_count; i++)
            if (!publisher(i)->busy && publisher(i)->step != BROKEN) publish(publisher(i), now());
        return;
    }
    if (options.rate > 0) {
        while (next_due <= now()) {
            struct connection *one = free_publisher();
            if (!one) return;
            publish(one, next_due);
            next_due += 1 / options.rate;
        }
        return;
    }
    while (outstanding < options.window) {
        struct connection *one = free_publisher();
        if (!one) return;
        publish(one, now());
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static int has(const char *body, size_t length, const char *text) {
    return memmem(body, length, text, strlen(text)) != NULL;
}

static void count_deliveries(const char *body, size_t length) {
    static const char mark[] = "seq-";
    const char *at = body, *end = body + length;
    double seen = 0;
    while ((at = memmem(at, end - at, mark, sizeof mark - 1))) {
        at += sizeof mark - 1;
        int slot = strtoll(at, NULL, 10) % SLOTS;
        if (!seen) seen = now();
        delivered++;
        note_latency(seen - sent_at[slot]);
        if (--missing[slot] == 0) outstanding--;
    }
}

/* The reply to a publish: upstream it is what is measured. */
static void replied(struct connection *one) {
    one->busy = 0;
    if (!options.upstream || stopping) return;
    delivered++;
    note_latency(now() - one->sent_at);
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
    clients[one->client].acknowledged = -1;
}

static void remember_batch(struct connection *one, const char *body, size_t length) {
    static const char mark[] = "\"ack\":";
    const char *at = memmem(body, length, mark, sizeof mark - 1);
    if (!at)
        errors++;
    else
        clients[one->client].acknowledged = strtol(at + sizeof mark - 1, NULL, 10);
}

/* One payload of the server; HTTP or websocket does not matter any more. */
void received(struct connection *one, const char *body, size_t length) {
    if (!stopping && has(body, length, "\"successful\":false") && !errors++)
        fprintf(stderr, "bayeux_load: %.*s\n", (int)(length < 500 ? length : 500), body);
    switch (one->step) {
    case REPLYING:
        if (one->busy) replied(one);
        count_deliveries(body, length);
        return;
    case HANDSHAKE:
        remember_id(one, body, length);
        if (one->step == BROKEN) return;
        one->step = SUBSCRIBE;
        send_subscribe(one);
        return;
    case SUBSCRIBE:
        one->step = FIRST_CONNECT;
        send_connect(one);
        return;
    case FIRST_CONNECT:
        if (options.ack) remember_batch(one, body, length);
        one->step = HOLDING;
        ready++;
        starting--;
        send_connect(one);
        start_clients();
        return;
    case LEAVING:
        return;
    default:
        if (one->framed && one->busy && has(body, length, "\"id\":\"p")) replied(one);
        count_deliveries(body, length);
        if (stopping || !has(body, length, "/meta/connect")) return;
        if (options.ack) remember_batch(one, body, length);
        send_connect(one);
    }
}

/* Say good-bye, so that the server keeps nothing of us. */
void leave(void) {
    for (int i = 0; i < options.count; i++) {
        int own = on_websocket(i);
        struct connection *one = own ? &connections[i] : publisher(i % publisher_count);
        if (connections[i].step == BROKEN || one->step == BROKEN) continue;
        for (int patience = 0; one->busy && patience < 100; patience++) turn(10);
        if (own) one->step = LEAVING;
        one->busy = !own;
        one->client = i;
        send_message(one, "[{\"channel\":\"/meta/disconnect\",\"clientId\":\"%s\",\"id\":\"last\"}]", clients[i].id);
    }
    for (double until = now() + 1; now() < until;) turn(50);
}
