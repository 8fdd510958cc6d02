/* What ringpost-durability preloads before a server: a clock that jumps, and threads that get no memory.
 *
 * The rig writes into the file that DISTURB names, which both have in memory. Nothing here allocates or needs a
 * constructor of anybody else's to have run: allocators inside the program call these functions before `main`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The layout is `disturb.rs`'s, too. */
struct disturbance {
    int64_t shift;       /* seconds that are added to the time of day */
    int64_t looks;       /* how often that was felt */
    int64_t starve;      /* maps of so many bytes or more fail; 0: none */
    int64_t starved;     /* how often that was felt */
    char thread[16];     /* of threads whose names begin so */
};

static struct disturbance *volatile disturbance;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISTURB");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *memory = (void *)syscall(SYS_mmap, NULL, sizeof *disturbance, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED)
        disturbance = memory;
    close(file);
}

static int64_t shift(void)
{
    struct disturbance *now = disturbance;
    int64_t seconds = now ? __atomic_load_n(&now->shift, __ATOMIC_RELAXED) : 0;
    if (seconds)
        __atomic_fetch_add(&now->looks, 1, __ATOMIC_RELAXED);
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

static int is_starved(size_t length)
{
    struct disturbance *now = disturbance;
    int64_t least = now ? __atomic_load_n(&now->starve, __ATOMIC_RELAXED) : 0;
    char name[16];
    if (least <= 0 || length < (size_t)least || prctl(PR_GET_NAME, name) != 0)
        return 0;
    if (strncmp(name, now->thread, strnlen(now->thread, sizeof now->thread)) != 0)
        return 0;
    __atomic_fetch_add(&now->starved, 1, __ATOMIC_RELAXED);
    return 1;
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    if ((flags & MAP_ANONYMOUS) && is_starved(length)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    return mmap(address, length, protection, flags, file, offset);
}
