/* A load generator for Bayeux servers: one thread, epoll; OpenSSL only for TLS.
 *
 *   gcc -O2 -o bayeux_load *.c                              without TLS
 *   gcc -O2 -DWITH_TLS -o bayeux_load *.c -lssl -lcrypto    with it
 *   bayeux_load -p 8080 -u /genesys/cometd -t lp -n 1000 -w 1 -d 5 -P SERVER_PID
 *
 * Every client has one connection, on which it holds /meta/connect (lp) or a websocket
 * (ws), and subscribes to one channel.  Publishers use connections of their own, in the
 * sessions of the first clients (with ws: their sockets).
 *
 *   -h ADDRESS  -p PORT  -u PATH   where the server is (127.0.0.1, 8080, /genesys/cometd)
 *   -t lp|ws|mix    transport; mix: every other client uses a websocket
 *   -n N            clients
 *   -C K            client I subscribes to channel I mod K; publishes go to each in turn (1).
 *                   With K = N each message has one receiver among N clients
 *   -N NAME         the first segment of the channels' names (bench)
 *   -m M            M more subscriptions of each client, to channels of its own (0)
 *   -w W            closed loop: W publishes outstanding, the next one goes out when every
 *                   subscriber has the oldest (default 1)
 *   -r R            open loop instead: R publishes a second, latency from the time they
 *                   were due, so a slow server cannot hide it
 *   -U              closed loop of every client by itself: publish where nobody listens,
 *                   await the reply, again.  "delivered" counts replies
 *   -e              events instead of publishes: users on /_genesys, one subscription each,
 *                   POST /genesys/1/notification/publish to one of them in turn
 *   -i              publish nothing: hold all clients for the duration
 *   -a              acknowledgement extension: ext.ack in the handshake and each connect
 *   -T CIPHER       TLS 1.3 with this cipher, any certificate (TLS_AES_128_GCM_SHA256)
 *   -q              say good-bye at the end
 *   -d SECONDS      measured duration (5), after -s SECONDS of settling under load (1)
 *   -b BYTES        payload besides the counter (64)
 *   -c C            clients connecting at the same time (50)
 *   -P PID          a process of the server, for CPU and memory; may be repeated
 *
 * Prints one JSON line:
 *   clients, published, delivered, ratio (delivered / expected: 1.0 is right),
 *   deliveries_per_s, cpu_us (server CPU per delivered message), kernel_us (of this, in the kernel), per_cpu_s (deliveries per
 *   CPU second of the server), cpu_cores (used by the server), rss_kb (growth per client),
 *   rss_mb (at the end), ramp_s (all clients connected), ramp_per_cpu_s (clients connected
 *   per CPU second of the server), p50_ms, p99_ms, max_ms, generator_cores (near 1: the
 *   generator is the limit), generator_us (its own CPU per delivered message), errors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

struct options options = {.address = "127.0.0.1", .path = "/genesys/cometd", .name = "bench", .port = 8080, .count = 100,
                          .channels = 1, .window = 1, .payload = 64, .ramp = 50, .duration = 5, .settling = 1};

static int read_options(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "h:p:u:t:n:C:N:m:w:r:UeiaT:qd:s:b:c:P:")) != -1) {
        switch (option) {
        case 'h': options.address = optarg; break;
        case 'p': options.port = atoi(optarg); break;
        case 'u': options.path = optarg; break;
        case 't': options.transport = !strcmp(optarg, "ws") ? WEBSOCKET : !strcmp(optarg, "mix") ? MIX : POLLING; break;
        case 'n': options.count = atoi(optarg); break;
        case 'C': options.channels = atoi(optarg); break;
        case 'N': options.name = optarg; break;
        case 'm': options.more = atoi(optarg); break;
        case 'w': options.window = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'U': options.upstream = 1; break;
        case 'e': options.events = 1; break;
        case 'i': options.idle = 1; break;
        case 'a': options.ack = 1; break;
        case 'T': options.cipher = optarg; break;
        case 'q': options.polite = 1; break;
        case 'd': options.duration = atof(optarg); break;
        case 's': options.settling = atof(optarg); break;
        case 'b': options.payload = atoi(optarg) < 4000 ? atoi(optarg) : 4000; break;
        case 'c': options.ramp = atoi(optarg); break;
        case 'P': if (options.pid_count < 16) options.pids[options.pid_count++] = atoi(optarg); break;
        default: return 0;
        }
    }
    if (options.events) options.channels = options.count;
    if (options.transport == MIX && (options.upstream || options.events || options.count < 32)) return 0;
    return options.count > 0 && options.channels > 0 && options.channels <= options.count && optind == argc;
}

static void run_until(double until) {
    while (now() < until) {
        publish_what_is_due(until);
        turn(options.rate > 0 ? 1 : 5);
    }
}

/* Deliveries that all publishes so far must lead to. */
static double expected(void) {
    if (options.upstream || options.events) return published;
    double whole = published / options.channels, rest = published % options.channels;
    double each = options.count / options.channels, longer = options.count % options.channels;
    return whole * options.count + rest * each + (rest < longer ? rest : longer);
}

int main(int argc, char **argv) {
    if (!read_options(argc, argv)) return 2;
    struct rlimit files = {2 * options.count + 200, 2 * options.count + 200};
    setrlimit(RLIMIT_NOFILE, &files);
    publisher_count = options.upstream || options.count < 16 ? options.count : 16;
    clients = calloc(options.count, sizeof *clients);
    connections = calloc(options.count + publisher_count, sizeof *connections);
    open_epoll();
    for (int i = 0; i < options.count; i++) connections[i].client = i;

    long rss_before = server_rss_kb();
    double kernel, after, cpu = server_cpu(&kernel), began = now();
    start_clients();
    while (ready < options.count) {
        turn(100);
        if (errors || now() - began > 120) {
            fprintf(stderr, "bayeux_load: only %d of %d clients connected\n", ready, options.count);
            return 1;
        }
    }
    double ramp_s = now() - began, ramp_cpu = server_cpu(&kernel) - cpu;
    open_publishers();
    if (options.events) make_subscriptions();
    start_publishing();
    run_until(now() + options.settling);
    long rss_after = server_rss_kb();

    long long delivered_before = delivered;
    forget_latencies();
    double own = own_cpu(), start = now();
    cpu = server_cpu(&kernel);
    run_until(start + options.duration);
    double took = now() - start;
    cpu = server_cpu(&after) - cpu;
    kernel = after - kernel;
    own = own_cpu() - own;
    long long messages = delivered - delivered_before;
    double p50 = latency_ms(0.5), p99 = latency_ms(0.99), worst = longest_ms();

    /* What is still on its way arrives before the ratio is taken. */
    double patience = now() + 5;
    while ((options.upstream ? delivered < published : outstanding > 0) && now() < patience) turn(10);
    double wanted = expected();
    printf("{\"clients\":%d,\"published\":%lld,\"delivered\":%lld,\"ratio\":%.4f,\"deliveries_per_s\":%.0f,"
           "\"cpu_us\":%.2f,\"kernel_us\":%.2f,\"per_cpu_s\":%.0f,\"cpu_cores\":%.3f,\"rss_kb\":%.2f,\"rss_mb\":%.1f,"
           "\"ramp_s\":%.2f,\"ramp_per_cpu_s\":%.0f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.1f,"
           "\"generator_cores\":%.2f,\"generator_us\":%.2f,\"errors\":%lld}\n",
           options.count, published, delivered, wanted ? delivered / wanted : 1.0, took > 0.5 ? messages / took : 0,
           messages ? cpu * 1e6 / messages : 0, messages ? kernel * 1e6 / messages : 0, cpu > 0 ? messages / cpu : 0, took > 0.5 ? cpu / took : 0,
           (double)(rss_after - rss_before) / options.count, server_rss_kb() / 1024.0, ramp_s,
           ramp_cpu > 0 ? options.count / ramp_cpu : 0, p50, p99, worst, took > 0.5 ? own / took : 0,
           messages ? own * 1e6 / messages : 0, errors);
    fflush(stdout);
    stopping = 1;
    int status = errors ? 1 : 0;
    if (options.polite) leave();
    return status;
}
