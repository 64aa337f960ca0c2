// Faults of a disk and of a clock, for a process that drives a run. `torture` preloads this into its child and says
// through a shared page what is to fail. Only the files of the run are concerned: the run itself, its write-ahead log
// and its rollback journal; of a disk that is full or read-only, also the index of the log and the lock.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// The words of the page; `src/torture/shim.rs` has them in the same order.
enum word {
    LOADED,         // 1 once we are at work
    SPACE,          // bytes that may still be written; all ones: no end
    WRITE_ERROR,    // what a write says that finds no space
    SYNCS,          // so many syncs are to fail; all ones: all of them
    DENY,           // 1: the run cannot be opened for writing
    CLOCK,          // 0: the system's; 1: runs from CLOCK_TIME; 2: stands there
    CLOCK_TIME,     // nanoseconds since 1970 ..
    CLOCK_SINCE,    // .. at this time of the monotonic clock
    DIE_AT,         // the process dies at the how manyth call from now; 0: at none
    DIE_HOW,        // 0: before the call; 1: in the middle of a write; 2: after it
    REFUSED_WRITES, // counts
    REFUSED_SYNCS,
    REFUSED_OPENS,
    CLOCK_READS,
    DEATHS,
    WORDS
};

static const uint64_t NO_END = ~(uint64_t)0;

// What is recorded of each change, in order, so that `torture` can tell what a power cut would leave.
enum kind { WRITTEN, CUT, SYNCED, NOT_SYNCED, REMOVED };
struct record {
    uint32_t kind, file;
    uint64_t at;     // offset; of a cut: the new length; of a sync: how many records there were when it began
    uint64_t length; // of the bytes that follow
};

enum file { RUN, LOG, JOURNAL, OTHER, STRANGER };

static uint64_t *page;
static char run[4096];
static size_t run_length;
static int journal = -1;
static uint64_t records;
static pthread_mutex_t recording = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static uint64_t get(enum word word) { return page ? __atomic_load_n(&page[word], __ATOMIC_SEQ_CST) : 0; }
static void count(enum word word) { __atomic_add_fetch(&page[word], 1, __ATOMIC_SEQ_CST); }

__attribute__((constructor)) static void begin(void) {
    const char *control = getenv("TORTURE_CONTROL"), *path = getenv("TORTURE_RUN");
    const char *records_to = getenv("TORTURE_JOURNAL");
    if (!control || !path || strlen(path) >= sizeof run) return;
    strcpy(run, path);
    run_length = strlen(run);
    if (records_to) journal = REAL(open)(records_to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int fd = REAL(open)(control, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *shared = mmap(NULL, WORDS * sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) return;
    page = shared;
    page[LOADED] = 1;
}

static enum file file_at(const char *path) {
    if (!page || strncmp(path, run, run_length)) return STRANGER;
    const char *rest = path + run_length;
    if (!*rest) return RUN;
    if (!strcmp(rest, "-wal")) return LOG;
    if (!strcmp(rest, "-journal")) return JOURNAL;
    return !strcmp(rest, "-shm") || !strcmp(rest, ".lock") ? OTHER : STRANGER;
}

static enum file file_of(int fd) {
    char link[32], path[4096];
    if (!page) return STRANGER;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return STRANGER;
    path[length] = 0;
    return file_at(path);
}

// A record that a kill cuts is of a change that may be lost, so it comes after the change.
static void record(enum kind kind, enum file file, uint64_t at, const void *bytes, uint64_t length) {
    if (journal < 0) return;
    struct record head = {kind, file, at, length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)bytes, length}};
    pthread_mutex_lock(&recording);
    if (writev(journal, parts, length ? 2 : 1) != (ssize_t)(sizeof head + length)) abort();
    records++;
    pthread_mutex_unlock(&recording);
}

static uint64_t recorded(void) {
    pthread_mutex_lock(&recording);
    uint64_t n = records;
    pthread_mutex_unlock(&recording);
    return n;
}

static void die(void) {
    count(DEATHS);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// True when the process is to die at this call.
static int last_call(void) {
    uint64_t left = get(DIE_AT);
    while (left && !__atomic_compare_exchange_n(&page[DIE_AT], &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    if (left == 1 && get(DIE_HOW) == 0) die();
    return left == 1;
}

// Of `wanted` bytes, so many may be written.
static size_t room(size_t wanted) {
    uint64_t space = get(SPACE), granted;
    do {
        if (space == NO_END) return wanted;
        granted = space < wanted ? space : wanted;
    } while (!__atomic_compare_exchange_n(&page[SPACE], &space, space - granted, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return granted;
}

// The whole disk has become read-only.
static int refused(enum word counter) {
    if (get(SPACE) != 0 || get(WRITE_ERROR) != EROFS || !page) return 0;
    count(counter);
    errno = EROFS;
    return -1;
}

typedef ssize_t (*writer)(int, const void *, size_t, off64_t);

static ssize_t write_here(int fd, const void *bytes, size_t length, off64_t at) {
    (void)at;
    return REAL(write)(fd, bytes, length);
}

static ssize_t write_there(int fd, const void *bytes, size_t length, off64_t at) {
    return REAL(pwrite64)(fd, bytes, length, at);
}

static ssize_t write_to(writer writer, int fd, const void *bytes, size_t length, off64_t at) {
    enum file file = file_of(fd);
    if (file == STRANGER || !length) return writer(fd, bytes, length, at);
    if (writer == write_here) at = lseek64(fd, 0, SEEK_CUR);
    size_t granted = room(length);
    if (!granted) {
        count(REFUSED_WRITES);
        errno = (int)get(WRITE_ERROR);
        return -1;
    }
    if (file == OTHER) return writer(fd, bytes, granted, at);
    int last = last_call();
    if (last && get(DIE_HOW) == 1) {
        writer(fd, bytes, granted / 2, at);
        die();
    }
    ssize_t written = writer(fd, bytes, granted, at);
    if (written > 0) record(WRITTEN, file, (uint64_t)at, bytes, (uint64_t)written);
    if (last) die();
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) { return write_to(write_here, fd, bytes, length, 0); }

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return write_to(write_there, fd, bytes, length, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return write_to(write_there, fd, bytes, length, at);
}

int ftruncate64(int fd, off64_t length) {
    enum file file = file_of(fd);
    if (file == STRANGER) return REAL(ftruncate64)(fd, length);
    if (refused(REFUSED_WRITES)) return -1;
    if (file == OTHER) return REAL(ftruncate64)(fd, length);
    int last = last_call();
    int result = REAL(ftruncate64)(fd, length);
    if (!result) record(CUT, file, (uint64_t)length, NULL, 0);
    if (last) die();
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_to(int (*sync)(int), int fd) {
    enum file file = file_of(fd);
    if (file == STRANGER || file == OTHER) return sync(fd);
    int last = last_call();
    uint64_t before = recorded(), failures = get(SYNCS);
    while (failures && failures != NO_END
           && !__atomic_compare_exchange_n(&page[SYNCS], &failures, failures - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    int result = 0;
    if (failures) {
        // As Linux has it: what could not be written is given up, and a later sync says nothing of it.
        record(NOT_SYNCED, file, before, NULL, 0);
        count(REFUSED_SYNCS);
        errno = EIO;
        result = -1;
    } else {
        result = sync(fd);
        record(result ? NOT_SYNCED : SYNCED, file, before, NULL, 0);
    }
    if (last) die();
    return result;
}

int fsync(int fd) { return sync_to(REAL(fsync), fd); }
int fdatasync(int fd) { return sync_to(REAL(fdatasync), fd); }

int unlink(const char *path) {
    enum file file = file_at(path);
    if (file == STRANGER) return REAL(unlink)(path);
    if (refused(REFUSED_WRITES)) return -1;
    if (file == OTHER) return REAL(unlink)(path);
    int last = last_call();
    int result = REAL(unlink)(path);
    if (!result) record(REMOVED, file, 0, NULL, 0);
    if (last) die();
    return result;
}

// Truncating while opening is recorded as well; SQLite does not do it.
static int open_at(int folder, const char *path, int flags, mode_t mode) {
    enum file file = file_at(path);
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (file != STRANGER && writes && refused(REFUSED_OPENS)) return -1;
    if (get(DENY) && (file == RUN || file == LOG) && writes) {
        count(REFUSED_OPENS);
        errno = EACCES;
        return -1;
    }
    int fd = REAL(openat64)(folder, path, flags, mode);
    if (fd >= 0 && (flags & O_TRUNC) && file != STRANGER && file != OTHER) record(CUT, file, 0, NULL, 0);
    return fd;
}

#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if (__OPEN_NEEDS_MODE(flags)) {                                                                                    \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_at(folder, path, flags | O_LARGEFILE, mode);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) cached;
    __typeof__(&clock_gettime) system = __atomic_load_n(&cached, __ATOMIC_RELAXED);
    if (!system) {
        system = REAL(clock_gettime);
        __atomic_store_n(&cached, system, __ATOMIC_RELAXED);
    }
    uint64_t mode = get(CLOCK);
    if (!mode || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return system(clock, now);
    uint64_t time = get(CLOCK_TIME);
    if (mode == 1) {
        struct timespec monotonic;
        if (system(CLOCK_MONOTONIC, &monotonic)) return -1;
        time += (uint64_t)monotonic.tv_sec * 1000000000 + (uint64_t)monotonic.tv_nsec - get(CLOCK_SINCE);
    }
    count(CLOCK_READS);
    now->tv_sec = (time_t)(time / 1000000000);
    now->tv_nsec = (long)(time % 1000000000);
    return 0;
}
