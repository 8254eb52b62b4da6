/*
 * What newuidmap and newgidmap take by themselves, started side by side: a
 * launcher that maps ranges of ids cannot save it, only hide work behind it.
 *
 *     helpers frame                          a user namespace, no helper
 *     helpers ranges UID COUNT GID COUNT     the same, mapped by both helpers
 *
 * The helpers' price is the second less the first.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void must(long result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(125);
    }
}

/* Container id 0 is the caller, 1 and up are the range that it was given. */
static pid_t start(char *helper, long target, unsigned own, char *first, char *count) {
    char pid[16], caller[16];
    snprintf(pid, sizeof pid, "%ld", target);
    snprintf(caller, sizeof caller, "%u", own);
    char *argv[] = {helper, pid, "0", caller, "1", "1", first, count, NULL};

    pid_t started;
    int error = posix_spawnp(&started, helper, NULL, NULL, argv, environ);
    if (error) {
        fprintf(stderr, "%s: %s\n", helper, strerror(error));
        exit(125);
    }
    return started;
}

static void finish(pid_t helper) {
    int status;
    must(waitpid(helper, &status, 0), "wait for a helper");
    if (status != 0)
        exit(125);
}

int main(int argc, char **argv) {
    int ranges = argc == 6 && strcmp(argv[1], "ranges") == 0;
    if (!ranges && !(argc == 2 && strcmp(argv[1], "frame") == 0)) {
        fprintf(stderr, "usage: helpers frame | ranges UID COUNT GID COUNT\n");
        return 125;
    }

    int gate[2];
    must(pipe(gate), "pipe");
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long child = syscall(SYS_clone3, &args, sizeof args);
    must(child, "clone3");
    if (child == 0) {
        /* Holds the namespace until the other end is closed, by death too. */
        char none;
        close(gate[1]);
        _exit(read(gate[0], &none, 1) == 0 ? 0 : 125);
    }

    if (ranges) {
        pid_t uids = start("newuidmap", child, geteuid(), argv[2], argv[3]);
        pid_t gids = start("newgidmap", child, getegid(), argv[4], argv[5]);
        finish(uids);
        finish(gids);
    }
    close(gate[1]);
    finish(child);
    return 0;
}
