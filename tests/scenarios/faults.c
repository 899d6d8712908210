/* Loaded before the C library by tests: while the file FAULT_RULE names is there, calls on paths that it names fail.
   The file holds one line: `sync` or `write`, then a part of the path, then how it ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(const char *call, int descriptor) {
    const char *rule = getenv("FAULT_RULE");
    char wanted[32], part[256], ending[32], name[64], path[PATH_MAX];
    ssize_t length;
    FILE *file = rule ? fopen(rule, "re") : NULL;
    if (!file) return 0;
    int found = fscanf(file, "%31s %255s %31s", wanted, part, ending);
    fclose(file);
    if (found != 3 || strcmp(wanted, call)) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    length = readlink(name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, part) || strlen(path) < strlen(ending)) return 0;
    if (strcmp(path + strlen(path) - strlen(ending), ending)) return 0;
    errno = EIO;
    return 1;
}

int fdatasync(int descriptor) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails("sync", descriptor) ? -1 : real(descriptor);
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails("sync", descriptor) ? -1 : real(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return fails("write", descriptor) ? -1 : real(descriptor, data, size);
}
