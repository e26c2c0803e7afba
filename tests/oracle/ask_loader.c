/* Loads what it is told to load and says what the loader did: the program whose loader is compared with tfguard.

   ask_loader CWD USER PATIENCE BEFORE [MODE NAME]...

   The first BEFORE of the pairs are loaded before anything is said of loads, and must succeed. USER is the effective
   user from then on, empty for the same. After PATIENCE seconds the process is ended by SIGALRM.

   Answers on descriptor 3, each a letter, a text and a NUL byte:
   V version of the C library, S page size, H AT_HWCAP, L AT_PLATFORM, X AT_SECURE,
   N an object loaded so far, in load order (after the start, and again after BEFORE, each list behind an R),
   T what went wrong before any question was asked,
   then for each load E and the message of dlerror() or O, and M for each object that it mapped. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* <sys/prctl.h> wants kernel headers, which are not everywhere for 32 bits. */
int prctl(int, ...);

enum { LIMIT = 4096, SET_DUMPABLE = 4 };

static struct { ElfW(Addr) address; const char *name; } known[LIMIT];
static int known_count;

static void say(char kind, const char *text) {
    size_t length = strlen(text);
    char *record = malloc(length + 2);
    record[0] = kind;
    memcpy(record + 1, text, length + 1);
    if (write(3, record, length + 2) < 0) _exit(3);
    free(record);
}

static void say_number(char kind, unsigned long number) {
    char text[32];
    snprintf(text, sizeof text, "%lu", number);
    say(kind, text);
}

/* Notes every object that is not known yet; says those where `data` points to a letter. */
static int visit(struct dl_phdr_info *info, size_t size, void *data) {
    const char *name = info->dlpi_name ? info->dlpi_name : "";
    (void)size;
    for (int i = 0; i < known_count; i++)
        if (known[i].address == info->dlpi_addr && !strcmp(known[i].name, name)) return 0;
    if (known_count < LIMIT) {
        known[known_count].address = info->dlpi_addr;
        known[known_count++].name = strdup(name);
    }
    if (data) say(*(char *)data, name);
    return 0;
}

static void say_loaded(void) {
    char kind = 'N';
    known_count = 0;
    say('R', "");
    dl_iterate_phdr(visit, &kind);
}

int main(int argc, char **argv) {
    struct rlimit none = {0, 0};
    if (argc < 5) return 2;
    int before = atoi(argv[4]);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGALRM, SIG_DFL);
    alarm(atoi(argv[3]));
#ifdef __GLIBC__
    say('V', gnu_get_libc_version());
#endif
    say_number('S', (unsigned long)sysconf(_SC_PAGESIZE));
    say_number('H', getauxval(AT_HWCAP));
    say('L', getauxval(AT_PLATFORM) ? (const char *)getauxval(AT_PLATFORM) : "");
    say_number('X', getauxval(AT_SECURE));
    say_loaded();
    if (*argv[1] && chdir(argv[1])) {
        say('T', "chdir");
        return 3;
    }
    for (int i = 0; i < before; i++)
        if (!dlopen(argv[6 + 2 * i], RTLD_NOW | atoi(argv[5 + 2 * i]))) {
            say('T', dlerror());
            return 3;
        }
    say_loaded();
    if (*argv[2]) {
        if (setegid(atoi(argv[2])) || seteuid(atoi(argv[2]))) {
            say('T', "seteuid");
            return 3;
        }
        prctl(SET_DUMPABLE, 1, 0, 0, 0); /* or /proc/self would be root's */
    }
    for (int i = 5 + 2 * before; i + 1 < argc; i += 2) {
        char kind = 'M';
        if (write(2, "@\n", 2) < 0) return 3; /* between what LD_DEBUG=libs tells of the loads */
        if (dlopen(argv[i + 1], RTLD_NOW | atoi(argv[i])))
            say('O', "");
        else {
            const char *message = dlerror();
            say('E', message ? message : "");
        }
        dl_iterate_phdr(visit, &kind);
    }
    _exit(0);
}
