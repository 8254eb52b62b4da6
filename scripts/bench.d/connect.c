/* Connections per second: connect, a byte there, a byte back, end.
 *
 *   connect serve ADDRESS PORT       until it is killed
 *   connect ask ADDRESS PORT SECONDS CLIENTS
 *
 * `ask` prints how many a second, by so many clients at once, each of which
 * makes one after the other.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in address;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void serve(void) {
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024))
        die("listen");
    for (;;) {
        char byte;
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            die("accept");
        if (read(client, &byte, 1) == 1 && write(client, &byte, 1) != 1)
            perror("write");
        close(client);
    }
}

static double ask(double seconds) {
    /* Reset at the end, so that no port is kept busy (TIME_WAIT). */
    struct linger at_once = {1, 0};
    long count = 0;
    double start = now();
    do {
        char byte = 'x';
        int server = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        if (connect(server, (void *)&address, sizeof address))
            die("connect");
        if (write(server, &byte, 1) != 1 || read(server, &byte, 1) != 1)
            die("no answer");
        close(server);
        count++;
    } while (now() - start < seconds);
    return count / (now() - start);
}

static void ask_all(double seconds, int clients) {
    int told[2];
    double sum = 0, rate;
    if (pipe(told))
        die("pipe");
    for (int at = 0; at < clients; at++)
        if (fork() == 0) {
            rate = ask(seconds);
            exit(write(told[1], &rate, sizeof rate) != sizeof rate);
        }
    close(told[1]);
    for (int at = 0; at < clients; at++) {
        if (read(told[0], &rate, sizeof rate) != sizeof rate)
            exit(1);
        sum += rate;
    }
    printf("%.0f\n", sum);
}

int main(int count, char **word) {
    if (count < 4)
        return 2;
    address.sin_family = AF_INET;
    inet_pton(AF_INET, word[2], &address.sin_addr);
    address.sin_port = htons(atoi(word[3]));
    if (!strcmp(word[1], "serve"))
        serve();
    else if (count == 6)
        ask_all(atof(word[4]), atoi(word[5]));
}
