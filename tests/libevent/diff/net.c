/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands above events: listeners, evhttp, evdns and TLS, each talking to itself. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/resource.h>

#include "diff.h"

static struct event_base *the;
static struct sockaddr_in local;

static struct sockaddr *loopback(void) {
  memset(&local, 0, sizeof local);
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return (struct sockaddr *)&local;
}

static void find_port(int fd) {
  socklen_t size = sizeof local;
  NEED(!getsockname(fd, (struct sockaddr *)&local, &size));
}

/* --- Listeners */
static int accepted, errors, wanted;
static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int size, void *name) {
  (void)l;
  trace("%s: accepted, family %d, %d", (const char *)name, sa->sa_family == AF_INET,
        size == (int)sizeof(struct sockaddr_in));
  evutil_closesocket(fd);
  if (++accepted >= wanted) event_base_loopbreak(the);
}

static void on_error(struct evconnlistener *l, void *name) {
  trace("%s: %s", (const char *)name, strerrorname_np(EVUTIL_SOCKET_ERROR()));
  if (++errors == 2) evconnlistener_disable(l), event_base_loopbreak(the);
}

static int connect_to_it(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  NEED(fd >= 0 && !connect(fd, (struct sockaddr *)&local, sizeof local));
  return fd;
}

static struct evconnlistener *listens(unsigned flags) {
  struct evconnlistener *l =
      evconnlistener_new_bind(the, on_accept, NAME("listener"), LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | flags, -1,
                              loopback(), sizeof local);
  NEED(l);
  find_port(evconnlistener_get_fd(l));
  return l;
}

CASE(a_listener_accepts) {
  the = new_base();
  struct evconnlistener *l = listens(0);
  trace("%s", counts(the));
  int fds[3];
  for (int i = 0; i < 3; i++) fds[i] = connect_to_it();
  wanted = 3;
  trace("loop: %d", event_base_dispatch(the));
  trace("disable: %d, %s", evconnlistener_disable(l), counts(the));
  int more = connect_to_it();
  trace("disabled: %d", turn(the));
  wanted = 4;
  trace("enable: %d", evconnlistener_enable(l));
  trace("loop: %d", event_base_dispatch(the));
  evconnlistener_free(l);
  trace("%s", counts(the));
  for (int i = 0; i < 3; i++) close(fds[i]);
  close(more);
  event_base_free(the);
}

CASE(a_listener_without_descriptors) {
  the = new_base();
  struct evconnlistener *l = listens(0);
  evconnlistener_set_error_cb(l, on_error);
  int client = connect_to_it();
  struct rlimit limit;
  NEED(!getrlimit(RLIMIT_NOFILE, &limit));
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 3;
  turn(the);
  (void)client;
  int second = connect_to_it();
  NEED(!setrlimit(RLIMIT_NOFILE, &limit));
  trace("loop: %d", event_base_dispatch(the));
  limit.rlim_cur = before;
  NEED(!setrlimit(RLIMIT_NOFILE, &limit));
  wanted = accepted + 1;
  evconnlistener_enable(l);
  trace("with descriptors: %d", event_base_dispatch(the));
  evconnlistener_free(l);
  close(client), close(second);
  event_base_free(the);
}

CASE(a_listener_with_locks_freed_in_its_callback) {
  NEED(!evthread_use_pthreads());
  the = new_base();
  struct evconnlistener *l = listens(LEV_OPT_THREADSAFE | LEV_OPT_DEFERRED_ACCEPT);
  int client = connect_to_it();
  NEED(write(client, "x", 1) == 1);
  wanted = 1;
  trace("loop: %d", event_base_dispatch(the));
  evconnlistener_free(l);
  close(client);
  event_base_free(the);
}

static void connected(struct bufferevent *bev, short what, void *name) {
  trace("%s: %#x", (const char *)name, (unsigned)what);
  bufferevent_free(bev);
  event_base_loopbreak(the);
}

CASE(a_bufferevent_connects_or_is_refused) {
  the = new_base();
  struct evconnlistener *l = listens(0);
  evconnlistener_disable(l);
  for (int i = 0; i < 2; i++) {
    struct bufferevent *bev = bufferevent_socket_new(the, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(bev, NULL, NULL, connected, NAME(i ? "refused" : "connected"));
    trace("connect: %d", bufferevent_socket_connect(bev, (struct sockaddr *)&local, sizeof local));
    trace("loop: %d", event_base_dispatch(the));
    if (!i) evconnlistener_free(l);
  }
  turn(the);
  event_base_free(the);
}

/* --- HTTP */
static int answered, expected;

static void on_request(struct evhttp_request *req, void *arg) {
  struct evbuffer *body = evhttp_request_get_input_buffer(req), *out = evbuffer_new();
  (void)arg;
  trace("server: %d %s, %zu bytes", evhttp_request_get_command(req), evhttp_request_get_uri(req),
        evbuffer_get_length(body));
  evbuffer_add_printf(out, "you said %zu bytes", evbuffer_get_length(body));
  evhttp_add_header(evhttp_request_get_output_headers(req), "X-Test", "yes");
  evhttp_send_reply(req, HTTP_OK, "Fine", out);
  evbuffer_free(out);
}

static struct evhttp_request *chunked_request;
static int chunks;
static void next_chunk(evutil_socket_t fd, short what, void *arg) {
  struct evbuffer *out = evbuffer_new();
  (void)fd, (void)what, (void)arg;
  evbuffer_add_printf(out, "chunk %d;", chunks);
  evhttp_send_reply_chunk(chunked_request, out);
  evbuffer_free(out);
  if (++chunks == 3)
    evhttp_send_reply_end(chunked_request);
  else
    event_base_once(the, -1, EV_TIMEOUT, next_chunk, NULL, ms(2));
}

static void on_chunked(struct evhttp_request *req, void *arg) {
  (void)arg;
  chunked_request = req;
  trace("server: chunked");
  evhttp_send_reply_start(req, HTTP_OK, "Chunks");
  event_base_once(the, -1, EV_TIMEOUT, next_chunk, NULL, ms(2));
}

static void on_silent(struct evhttp_request *req, void *arg) {
  (void)req, (void)arg;
  trace("server: says nothing");
}

static void on_answer(struct evhttp_request *req, void *name) {
  if (!req)
    trace("%s: no answer", (const char *)name);
  else {
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    const char *header = evhttp_find_header(evhttp_request_get_input_headers(req), "X-Test");
    trace("%s: %d, header %s, %.*s", (const char *)name, evhttp_request_get_response_code(req),
          header ? header : "none", (int)evbuffer_get_length(body), (const char *)evbuffer_pullup(body, -1));
  }
  if (++answered == expected) event_base_loopbreak(the);
}

static struct evhttp *serves(void) {
  struct evhttp *http = evhttp_new(the);
  loopback();
  struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
  NEED(bound);
  find_port(evhttp_bound_socket_get_fd(bound));
  evhttp_set_gencb(http, on_request, NULL);
  evhttp_set_cb(http, "/chunked", on_chunked, NULL);
  evhttp_set_cb(http, "/silent", on_silent, NULL);
  return http;
}

static void ask(struct evhttp_connection *c, const char *name, enum evhttp_cmd_type how, const char *uri,
                const char *body) {
  struct evhttp_request *req = evhttp_request_new(on_answer, NAME(name));
  evhttp_add_header(evhttp_request_get_output_headers(req), "Host", "localhost");
  if (body) evbuffer_add(evhttp_request_get_output_buffer(req), body, strlen(body));
  trace("%s: asked, %d", name, evhttp_make_request(c, req, how, uri));
}

CASE(http_requests_one_after_another_on_one_connection) {
  the = new_base();
  struct evhttp *http = serves();
  struct evhttp_connection *c = evhttp_connection_base_new(the, NULL, "127.0.0.1", ntohs(local.sin_port));
  expected = 4;
  ask(c, "get", EVHTTP_REQ_GET, "/a", NULL);
  ask(c, "post", EVHTTP_REQ_POST, "/b", "hello");
  ask(c, "chunked", EVHTTP_REQ_GET, "/chunked", NULL);
  ask(c, "head", EVHTTP_REQ_HEAD, "/c", NULL);
  trace("loop: %d", event_base_dispatch(the));
  evhttp_connection_free(c);
  evhttp_free(http);
  event_base_loop(the, EVLOOP_NONBLOCK);
  event_base_free(the);
}

CASE(an_http_server_that_does_not_answer) {
  the = new_base();
  struct evhttp *http = serves();
  struct evhttp_connection *c = evhttp_connection_base_new(the, NULL, "127.0.0.1", ntohs(local.sin_port));
  evhttp_connection_set_timeout_tv(c, ms(400));
  expected = 1;
  ask(c, "silent", EVHTTP_REQ_GET, "/silent", NULL);
  trace("loop: %d", event_base_dispatch(the));
  evhttp_connection_free(c);
  evhttp_free(http);
  c = evhttp_connection_base_new(the, NULL, "127.0.0.1", ntohs(local.sin_port));
  answered = 0;
  ask(c, "nobody there", EVHTTP_REQ_GET, "/", NULL);
  trace("loop: %d", event_base_dispatch(the));
  evhttp_connection_free(c);
  event_base_free(the);
}

/* --- DNS: a server of evdns's own, and its client. */
static void on_query(struct evdns_server_request *req, void *arg) {
  (void)arg;
  for (int i = 0; i < req->nquestions; i++) {
    const char *name = req->questions[i]->name;
    trace("server: %s", name);
    if (!strncmp(name, "silent", 6)) {
      evdns_server_request_drop(req);
      return;
    }
    if (!strncmp(name, "gone", 4)) {
      evdns_server_request_respond(req, 3);
      return;
    }
    ev_uint32_t address = htonl(0xc0a80b0b);
    evdns_server_request_add_a_reply(req, name, 1, &address, 10);
  }
  evdns_server_request_respond(req, 0);
}

static void on_address(int result, char type, int count, int ttl, void *addresses, void *name) {
  if (result)
    trace("%s: %s", (const char *)name, evdns_err_to_string(result));
  else
    trace("%s: type %d, %d, ttl %d, %#x", (const char *)name, type, count, ttl, ntohl(*(ev_uint32_t *)addresses));
  if (++answered == expected) event_base_loopbreak(the);
}

static void on_addrinfo(int result, struct evutil_addrinfo *info, void *name) {
  trace("%s: %d, %s", (const char *)name, result,
        yes(info && ((struct sockaddr_in *)(void *)info->ai_addr)->sin_port == htons(80)));
  if (info) evutil_freeaddrinfo(info);
  if (++answered == expected) event_base_loopbreak(the);
}

CASE(names_are_asked_of_a_server) {
  the = new_base();
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  NEED(!bind(fd, loopback(), sizeof local));
  find_port(fd);
  struct evdns_server_port *server = evdns_add_server_port_with_base(the, fd, 0, on_query, NULL);
  struct evdns_base *dns = evdns_base_new(the, 0);
  NEED(server && dns);
  trace("nameserver: %d", evdns_base_nameserver_sockaddr_add(dns, (struct sockaddr *)&local, sizeof local, 0));
  evdns_base_set_option(dns, "timeout:", "5"), evdns_base_set_option(dns, "attempts:", "1");
  evdns_base_set_option(dns, "randomize-case:", "0");
  static const char *const names[] = {"known.example.com", "gone.example.com", "silent.example.com"};
  for (int i = 0; i < 3; i++) {
    answered = 0, expected = 1;
    if (i == 2) evdns_base_set_option(dns, "timeout:", "0.1");
    evdns_base_resolve_ipv4(dns, names[i], DNS_QUERY_NO_SEARCH, on_address, NAME(names[i]));
    trace("loop: %d", event_base_dispatch(the));
  }
  struct evutil_addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
  answered = 0;
  evdns_getaddrinfo(dns, "127.0.0.1", "80", &hints, on_addrinfo, NAME("a number"));
  trace("answered at once: %d", answered);
  struct evdns_request *r =
      evdns_base_resolve_ipv4(dns, "silent.example.org", DNS_QUERY_NO_SEARCH, on_address, NAME("cancelled"));
  evdns_cancel_request(dns, r);
  trace("turn: %d", turn(the));
  evdns_base_free(dns, 1);
  evdns_close_server_port(server);
  event_base_loop(the, EVLOOP_NONBLOCK);
  event_base_free(the);
}

/* --- TLS */
static SSL_CTX *server_ctx, *client_ctx;

static void make_contexts(void) {
  /* A key and a certificate that nobody keeps. */
  EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  X509 *cert = X509_new();
  NEED(key && cert);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), 0), X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_set_pubkey(cert, key);
  NEED(X509_sign(cert, key, EVP_sha256()));
  server_ctx = SSL_CTX_new(TLS_server_method()), client_ctx = SSL_CTX_new(TLS_client_method());
  NEED(SSL_CTX_use_certificate(server_ctx, cert) == 1 && SSL_CTX_use_PrivateKey(server_ctx, key) == 1);
  SSL_CTX_set_max_proto_version(server_ctx, TLS1_2_VERSION); /* no tickets after the handshake */
  X509_free(cert), EVP_PKEY_free(key);
}

static void tls_read(struct bufferevent *bev, void *name) {
  char text[64];
  size_t n = bufferevent_read(bev, text, sizeof text - 1);
  text[n] = 0;
  trace("%s: %s", (const char *)name, text);
  if (!strcmp(name, "server"))
    bufferevent_write(bev, "pong", 4);
  else
    event_base_loopbreak(the);
}

static void tls_event(struct bufferevent *bev, short what, void *name) {
  trace("%s: %#x", (const char *)name, (unsigned)what);
  if (what & BEV_EVENT_CONNECTED && !strcmp(name, "client")) bufferevent_write(bev, "ping", 4);
}

static void tls_round(int over_filter, int options) {
  the = new_base();
  int pair[2];
  make_pair(pair);
  struct bufferevent *server, *client;
  if (over_filter) {
    server =
        bufferevent_openssl_filter_new(the, bufferevent_socket_new(the, pair[0], BEV_OPT_CLOSE_ON_FREE),
                                       SSL_new(server_ctx), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE | options);
    client = bufferevent_openssl_filter_new(the, bufferevent_socket_new(the, pair[1], BEV_OPT_CLOSE_ON_FREE),
                                            SSL_new(client_ctx), BUFFEREVENT_SSL_CONNECTING,
                                            BEV_OPT_CLOSE_ON_FREE | options);
  } else {
    server = bufferevent_openssl_socket_new(the, pair[0], SSL_new(server_ctx), BUFFEREVENT_SSL_ACCEPTING,
                                            BEV_OPT_CLOSE_ON_FREE | options);
    client = bufferevent_openssl_socket_new(the, pair[1], SSL_new(client_ctx), BUFFEREVENT_SSL_CONNECTING,
                                            BEV_OPT_CLOSE_ON_FREE | options);
  }
  NEED(server && client);
  bufferevent_setcb(server, tls_read, NULL, tls_event, NAME("server"));
  bufferevent_setcb(client, tls_read, NULL, tls_event, NAME("client"));
  bufferevent_enable(server, EV_READ | EV_WRITE), bufferevent_enable(client, EV_READ | EV_WRITE);
  trace("loop: %d", event_base_dispatch(the));
  bufferevent_free(client);
  event_base_loop(the, EVLOOP_NONBLOCK);
  bufferevent_free(server);
  event_base_loop(the, EVLOOP_NONBLOCK);
  trace("%s", counts(the));
  event_base_free(the);
}

CASE(tls_over_sockets_and_filters) {
  make_contexts();
  for (int i = 0; i < 4; i++) {
    trace("-- %s, %s", i & 1 ? "filter" : "socket", i & 2 ? "deferred" : "at once");
    tls_round(i & 1, i & 2 ? BEV_OPT_DEFER_CALLBACKS : 0);
  }
}
