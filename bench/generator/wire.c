/* Sockets, TLS, HTTP and websocket framing: bytes in, payloads to client.c, and back. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#include "load.h"

static int epoll_fd;

static void *grown(void *block, size_t *room, size_t wanted) {
    if (wanted <= *room) return block;
    while (*room < wanted) *room = *room ? *room * 2 : 1024;
    block = realloc(block, *room);
    if (!block) fail("memory");
    return block;
}

/* --- TLS, or not ---------------------------------------------------------------------- */

#ifdef WITH_TLS
/* All connections offer one version and one cipher, so that all servers do the same work. */
static void start_tls(struct connection *one) {
    static SSL_CTX *context;
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        if (SSL_CTX_set_ciphersuites(context, options.cipher) != 1) fail("no such TLS 1.3 cipher");
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    one->tls = SSL_new(context);
    SSL_set_fd(one->tls, one->fd);
    SSL_set_connect_state(one->tls);
}
#else
static void start_tls(struct connection *one) {
    (void)one;
    errno = ENOSYS;
    fail("compiled without TLS");
}
#endif

/* As recv: bytes, 0 at the end, negative when nothing is there yet. */
static ssize_t take_bytes(struct connection *one, char *to, size_t room) {
    if (!one->tls) return recv(one->fd, to, room, 0);
#ifdef WITH_TLS
    int got = SSL_read(one->tls, to, room);
    if (got > 0) return got;
    int why = SSL_get_error(one->tls, got);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
#else
    return 0;
#endif
}

/* As send; ``*full``: it is worth waiting until the socket takes more. */
static ssize_t give_bytes(struct connection *one, const char *from, size_t length, int *full) {
    *full = 1;
    if (!one->tls) return send(one->fd, from, length, MSG_NOSIGNAL);
#ifdef WITH_TLS
    int sent = SSL_write(one->tls, from, length);
    if (sent > 0) return sent;
    *full = SSL_get_error(one->tls, sent) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
#endif
    return -1;
}

/* --- sending ---------------------------------------------------------------------------- */

static void watch(struct connection *one, int operation, int out) {
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = one};
    one->watches_out = out;
    if (epoll_ctl(epoll_fd, operation, one->fd, &event) < 0) fail("epoll_ctl");
}

static void flush_out(struct connection *one) {
    size_t done = 0;
    int full = 0;
    while (done < one->out_length) {
        ssize_t sent = give_bytes(one, one->out + done, one->out_length - done, &full);
        if (sent < 0) break;
        done += sent;
    }
    if (done && done < one->out_length) memmove(one->out, one->out + done, one->out_length - done);
    one->out_length -= done;
    int out = one->out_length && full;
    if (out != one->watches_out) watch(one, EPOLL_CTL_MOD, out);
}

static void queue_bytes(struct connection *one, const void *bytes, size_t length) {
    one->out = grown(one->out, &one->out_room, one->out_length + length);
    memcpy(one->out + one->out_length, bytes, length);
    one->out_length += length;
}

/* The lines of a head that say who asks. */
static int identity(struct connection *one, char *to, size_t room) {
    struct client *who = &clients[one->client];
    int size = 0;
    to[0] = 0;
    if (options.events && one->step != REPLYING) size = snprintf(to, room, "gms_user: user%d\r\n", one->client);
    if (who->cookie[0]) size += snprintf(to + size, room - size, "Cookie: %s\r\n", who->cookie);
    return size;
}

void send_body(struct connection *one, const char *path, const char *body, size_t length) {
    char head[1024], who[256];
    int size;
    if (one->framed) {
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
        identity(one, who, sizeof who);
        size = snprintf(head, sizeof head,
                        "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
                        path, options.address, options.port, who, length);
        queue_bytes(one, head, size);
    }
    queue_bytes(one, body, length);
    flush_out(one);
}

void send_upgrade(struct connection *one) {
    char head[1024], who[256];
    identity(one, who, sizeof who);
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%s"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        options.path, options.address, options.port, who);
    queue_bytes(one, head, size);
    flush_out(one);
}

void open_epoll(void) { epoll_fd = epoll_create1(0); }

void open_connection(struct connection *one) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    inet_pton(AF_INET, options.address, &to.sin_addr);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0) fail("socket");
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
    int on = 1;
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    if (options.cipher) start_tls(one);
    watch(one, EPOLL_CTL_ADD, 0);
}

/* --- receiving -------------------------------------------------------------------------- */

static void remember_cookie(struct connection *one, const char *head, size_t length) {
    static const char mark[] = "\nSet-Cookie: ", small[] = "\nset-cookie: ";
    const char *at = memmem(head, length, mark, sizeof mark - 1);
    if (!at) at = memmem(head, length, small, sizeof small - 1);
    if (at) sscanf(at + sizeof mark - 1, "%159[^;\r]", clients[one->client].cookie);
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

/* The length of a complete chunked body; decodes it in place. */
static size_t dechunk(char *at, char *end, char **rest) {
    char *to = at, *from = at;
    for (;;) {
        char *line = memmem(from, end - from, "\r\n", 2);
        size_t size = strtoul(from, NULL, 16);
        from = line + 2;
        if (!size) break;
        memmove(to, from, size);
        to += size;
        from += size + 2;
    }
    *rest = from + 2;
    return to - at;
}

static size_t take_response(struct connection *one, char *start, char *end) {
    char *blank = memmem(start, end - start, "\r\n\r\n", 4);
    if (!blank) return 0;
    char *body = blank + 4, *rest = body;
    if (one->step == UPGRADE) {
        if (strncmp(start, "HTTP/1.1 101", 12)) {
            fprintf(stderr, "bayeux_load: %.*s\n", (int)(blank - start), start);
            fail("websocket upgrade refused");
        }
        one->framed = 1;
        upgraded(one);
        return body - start;
    }
    *blank = 0;
    char *length_line = strcasestr(start, "\ncontent-length:");
    size_t length;
    if (length_line || !strncmp(start + 9, "204", 3)) {
        length = length_line ? strtoul(length_line + 16, NULL, 10) : 0;
        *blank = '\r';
        if ((size_t)(end - body) < length) return 0;
        rest = body + length;
    } else {
        *blank = '\r';
        if (!chunks_complete(body, end)) return 0;
        length = dechunk(body, end, &rest);
    }
    if (strncmp(start + 8, " 200", 4)) {
        if (!errors++) fprintf(stderr, "bayeux_load: %.*s\n", (int)(rest - start), start);
    }
    if (one->step == HANDSHAKE) remember_cookie(one, start, body - start);
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
    int kind = at[0] & 15;
    if (kind == 1) received(one, start + head, length);
    if (kind == 8 && !stopping) errors++;
    if (kind == 9 && length < 126) {
        const unsigned char pong[6] = {0x8a, 0x80 | length};
        queue_bytes(one, pong, sizeof pong);
        queue_bytes(one, start + head, length);
        flush_out(one);
    }
    return head + length;
}

static void read_all(struct connection *one) {
    for (;;) {
        one->in = grown(one->in, &one->in_room, one->in_length + 16384);
        size_t room = one->in_room - one->in_length - 1;
        ssize_t got = take_bytes(one, one->in + one->in_length, room);
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
        if (!one->tls && (size_t)got < room) break;
    }
    size_t done = 0, taken;
    do {
        char *start = one->in + done, *end = one->in + one->in_length;
        taken = one->framed ? take_frame(one, start, end) : take_response(one, start, end);
        done += taken;
    } while (taken && one->step != BROKEN);
    one->in_length -= done;
    if (done && one->in_length) memmove(one->in, one->in + done, one->in_length);
    /* An idle client holds no large buffer: the generator must not be what runs out of memory. */
    if (!one->in_length && one->in_room > 65536) {
        free(one->in);
        one->in = NULL;
        one->in_room = 0;
    }
}

void turn(int wait_ms) {
    struct epoll_event events[512];
    int number = epoll_wait(epoll_fd, events, 512, wait_ms);
    for (int i = 0; i < number; i++) {
        struct connection *one = events[i].data.ptr;
        if (one->step == BROKEN) continue;
        if (one->out_length) flush_out(one);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_all(one);
        /* The end of a TLS handshake lets out what waited for it. */
        if (one->tls && one->out_length && one->step != BROKEN) flush_out(one);
    }
}
