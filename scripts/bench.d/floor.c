/*
 * The kernel's own price of a container: nothing that isolates as much can be
 * faster, so every launcher is measured against it.
 *
 *     floor ROOT COMMAND [ARG]...
 *
 * One clone3 with all seven namespaces, the caller's id as container root,
 * ROOT bound as the root with a proc of its own, the old root detached, exec,
 * wait. No /dev, no /sys, no confinement, no state, no message worth reading.
 * Exit code: the command's, 128+n when signal n killed it, 125 for our own
 * errors.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t SEVEN = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS |
                              CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;

static void must(long result, const char *what) {
    if (result < 0) {
        perror(what);
        _exit(125);
    }
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd, path);
    must(write(fd, text, strlen(text)), path);
    close(fd);
}

static void enter(const char *root, char **command, unsigned uid, unsigned gid) {
    char uid_map[32], gid_map[32];
    snprintf(uid_map, sizeof uid_map, "0 %u 1", uid);
    snprintf(gid_map, sizeof gid_map, "0 %u 1", gid);

    /* A process may map its own id into its own new namespace, so nobody has to
     * be waited for. The gid map is refused until setgroups(2) is given up. */
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", uid_map);
    put("/proc/self/gid_map", gid_map);

    /* No propagation to cut: a mount namespace that a new user namespace owns
     * is copied with every shared mount turned into a slave. */
    must(mount(root, root, NULL, MS_BIND | MS_REC, NULL), "bind the root");
    must(chdir(root), "enter the root");
    must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount proc");
    /* Stacks the old root on top of the new one at the same place, and takes it
     * off again: no directory for it is needed (pivot_root(2)). */
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "detach the old root");
    must(chdir("/"), "chdir /");

    execv(command[0], command);
    perror(command[0]);
    _exit(127);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: floor ROOT COMMAND [ARG]...\n");
        return 125;
    }
    /* Asked before the clone: inside, they read as the overflow ids. */
    unsigned uid = geteuid(), gid = getegid();

    struct clone_args args = {.flags = SEVEN, .exit_signal = SIGCHLD};
    long child = syscall(SYS_clone3, &args, sizeof args);
    must(child, "clone3");
    if (child == 0)
        enter(argv[1], argv + 2, uid, gid);

    int status;
    must(waitpid(child, &status, 0), "wait");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
