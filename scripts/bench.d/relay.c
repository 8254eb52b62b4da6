/* The least that a relay of TCP can do: accept, connect, splice(2) both ways.
 *
 *   relay PORT TO       both of 127.0.0.1, until it is killed
 *
 * Whatever goes from socket to socket through a process of its own costs as much
 * at least. It takes no care of anything: what ends badly on one side is closed
 * on both, and there is no limit to how many it lets in.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPE = 256 * 1024, MOST = 1 << 16, NEWS = 256 };

/* What comes from a socket, by its number, and goes to `other`. */
static struct way {
    int other, pipe[2], held, ended;
    unsigned use; /* how often the number was used: older news is of others */
} ways[MOST];

static int poller;
static const int on = 1;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in local(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(int fd, int other) {
    struct way *way = &ways[fd];
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    way->other = other;
    event.data.u64 = (unsigned long)way->use << 32 | fd;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
}

static void end(int fd) {
    struct way *way = &ways[fd];
    if (way->pipe[1]) {
        close(way->pipe[0]);
        close(way->pipe[1]);
    }
    *way = (struct way){.use = way->use + 1};
    close(fd);
}

/* Moves what can be moved; -1 where the connection is broken. */
static int move(int fd) {
    struct way *way = &ways[fd];
    int count;
    for (;;) {
        if (way->held == 0) {
            if (way->ended)
                return 0;
            if (!way->pipe[1]) {
                if (pipe2(way->pipe, O_NONBLOCK))
                    return -1;
                fcntl(way->pipe[1], F_SETPIPE_SZ, PIPE);
            }
            count = splice(fd, NULL, way->pipe[1], NULL, PIPE, SPLICE_F_NONBLOCK);
            if (count < 0)
                return errno == EAGAIN ? 0 : -1;
            if (count == 0) {
                way->ended = 1;
                shutdown(way->other, SHUT_WR);
            }
            way->held = count;
        } else {
            count = splice(way->pipe[0], NULL, way->other, NULL, way->held, SPLICE_F_NONBLOCK);
            if (count < 0)
                return errno == EAGAIN ? 0 : -1;
            way->held -= count;
        }
    }
}

static void let_in(int listener, const struct sockaddr_in *to) {
    int client, service;
    while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        service = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (client >= MOST || service >= MOST || service < 0)
            die("room");
        setsockopt(service, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connect(service, (const void *)to, sizeof *to);
        watch(client, service);
        watch(service, client);
    }
}

int main(int count, char **word) {
    if (count != 3)
        return 2;
    struct sockaddr_in from = local(word[1]), to = local(word[2]);
    struct epoll_event news[NEWS], first = {.events = EPOLLIN};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (void *)&from, sizeof from) || listen(listener, 4096))
        die("listen");
    poller = epoll_create1(0);
    first.data.u64 = listener;
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &first);
    for (;;) {
        int number = epoll_wait(poller, news, NEWS, -1);
        for (int at = 0; at < number; at++) {
            int fd = news[at].data.u64 & 0xffffffff, other = ways[fd].other;
            if (fd == listener) {
                let_in(listener, &to);
            } else if (ways[fd].use == news[at].data.u64 >> 32) {
                int broken = news[at].events & EPOLLERR || move(fd) || move(other);
                if (broken || (ways[fd].ended && ways[other].ended)) {
                    end(fd);
                    end(other);
                }
            }
        }
    }
}
