/* Reaches out for its host while it is made, and reports the results as its error: NAME=ERRNO, 0 where it succeeded.
 * Then it does to itself what every program may. Never a plugin that works. */
#include "hallmark_plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define BYTES(text) {(const uint8_t *)(text), sizeof(text) - 1}

HALLMARK_MANIFEST("{\"hallmark_plugin\":\"hostile\",\"version\":\"1.0\",\"vendor\":\"Hallmark\",\"abi\":\"1.0\"}\n");

static void tell(hallmark_error *error, const char *name, long result) {
  int number = result < 0 ? errno : 0;
  int len = snprintf((char *)error->buf + error->len, error->cap - error->len, "%s=%d ", name, number);
  if (len > 0 && error->len + (size_t)len < error->cap) error->len += (size_t)len;
}

static void tell_line(hallmark_error *error, const char *name) {
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) {
    unsigned long long value;
    if (strncmp(line, name, strlen(name)) != 0 || sscanf(line + strlen(name), ":%llx", &value) != 1) continue;
    int len = snprintf((char *)error->buf + error->len, error->cap - error->len, "%s=%llx ", name, value);
    if (len > 0 && error->len + (size_t)len < error->cap) error->len += (size_t)len;
  }
  if (status) fclose(status);
}

/* A child in namespaces of its own, which ends at once. */
static long clone_into(unsigned long namespaces) {
  long child = syscall(SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child == 0) _exit(0);
  return child;
}

static void *nothing(void *argument) { return argument; }

static hallmark_rc create(const hallmark_host *host, uint64_t id, hallmark_bytes config, hallmark_instance **out,
                          hallmark_error *error) {
  (void)host, (void)id, (void)out;
  pid_t host_pid = getppid();
  char path[4096], byte = 0;
  siginfo_t info;
  struct rlimit limit = {1, 1};
  struct iovec here = {&byte, 1}, there = {&byte, 1};
  struct {
    int type;
    pid_t pid;
  } owner = {1, host_pid};
  pthread_t thread;
  int sockets[2] = {-1, -1};
  memset(&info, 0, sizeof info);
  info.si_code = SI_QUEUE;
  socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
  error->len = 0;

  /* The signals are harmless, should they arrive. */
  tell(error, "kill", kill(host_pid, SIGCONT));
  tell(error, "kill-group", kill(-getpgid(host_pid), SIGCONT));
  tell(error, "tkill", syscall(SYS_tkill, host_pid, SIGCONT));
  tell(error, "tgkill", syscall(SYS_tgkill, host_pid, host_pid, SIGCONT));
  tell(error, "sigqueue", syscall(SYS_rt_sigqueueinfo, host_pid, SIGCONT, &info));
  tell(error, "pidfd", syscall(SYS_pidfd_open, host_pid, 0));
  tell(error, "setown", fcntl(sockets[0], F_SETOWN, host_pid));
  tell(error, "setown-ex", syscall(SYS_fcntl, sockets[0], 15 /* F_SETOWN_EX */, &owner));
  tell(error, "ptrace", ptrace(PTRACE_SEIZE, host_pid, NULL, NULL));
  tell(error, "vm-read", process_vm_readv(host_pid, &here, 1, &there, 1, 0));
  tell(error, "vm-write", process_vm_writev(host_pid, &here, 1, &there, 1, 0));
  snprintf(path, sizeof path, "/proc/%d/mem", (int)host_pid);
  tell(error, "mem", open(path, O_RDWR));
  snprintf(path, sizeof path, "/proc/%d/environ", (int)host_pid);
  tell(error, "environ", open(path, O_RDONLY));
  tell(error, "prlimit", prlimit(host_pid, RLIMIT_CORE, &limit, NULL));
  tell(error, "priority", setpriority(PRIO_PROCESS, (id_t)host_pid, 0));
  /* Of others and of nobody's: should they be permitted, nothing is changed. */
  tell(error, "priority-group", setpriority(PRIO_PGRP, 0x7ffffffe, 0));
  tell(error, "priority-user", setpriority(PRIO_USER, 0, getpriority(PRIO_PROCESS, 0)));
  tell(error, "io-priority", syscall(SYS_ioprio_set, 3 /* IOPRIO_WHO_USER */, 0x7ffffffe, 0));
  tell(error, "namespace", clone_into(0x10000000 /* CLONE_NEWUSER */));
  tell(error, "clone3", syscall(435 /* SYS_clone3 */, NULL, 0));
  tell(error, "io-uring", syscall(425 /* SYS_io_uring_setup */, 1, NULL));
#ifdef __x86_64__
  tell(error, "x32", syscall(0x40000000 | 39 /* getpid */));
#endif
  tell(error, "terminal", open("/dev/tty", O_RDWR));
  tell(error, "setpgid", setpgid(0, 0));
  tell(error, "setsid", setsid());
  tell(error, "survive", prctl(PR_SET_PDEATHSIG, 0));
  tell(error, "dumpable", prctl(PR_SET_DUMPABLE, 1));
  tell(error, "setuid", setuid(0) == 0 && getuid() != 0 ? 0 : (errno = EPERM, -1));
  tell_line(error, "CapEff");
  tell_line(error, "CapPrm");
  tell_line(error, "CapBnd");
  tell_line(error, "Uid");

  tell(error, "session", getsid(0) == getpid() ? (errno = EPERM, -1) : 0);

  /* The file that its configuration names, and one beside it. */
  snprintf(path, sizeof path, "%.*s", (int)config.len, (const char *)config.ptr);
  tell(error, "read", open(path, O_RDONLY));
  tell(error, "write", open(path, O_WRONLY));
  strncat(path, ".new", sizeof path - strlen(path) - 1);
  tell(error, "make", open(path, O_WRONLY | O_CREAT, 0600));
  tell(error, "own-kill", kill(getpid(), 0));
  tell(error, "own-raise", raise(SIGCONT) == 0 ? 0 : -1);
  tell(error, "own-limit", getrlimit(RLIMIT_NOFILE, &limit));
  tell(error, "own-thread", pthread_create(&thread, NULL, nothing, NULL) == 0 ? 0 : -1);
  pthread_join(thread, NULL);
  return HALLMARK_RC_CONFIG;
}

static void destroy(hallmark_instance *instance) { (void)instance; }

static const uint32_t ALGS[] = {HALLMARK_ALG_ED25519};

static const hallmark_plugin PLUGIN = {
    .magic = HALLMARK_ABI_MAGIC,
    .struct_size = sizeof(hallmark_plugin),
    .abi_major = HALLMARK_ABI_MAJOR,
    .abi_minor = HALLMARK_ABI_MINOR,
    .max_concurrency = 1,
    .caps = HALLMARK_CAP_NEEDS_WORKER,
    .name = BYTES("hostile"),
    .version = BYTES("1.0"),
    .vendor = BYTES("Hallmark"),
    .config_schema_json = BYTES("{\"type\":\"object\"}"),
    .algs = ALGS,
    .n_algs = 1,
    .create = create,
    .destroy = destroy,
};

HALLMARK_EXPORT const hallmark_plugin *hallmark_plugin_entry_v1(const hallmark_host *host) {
  return host->abi_major == HALLMARK_ABI_MAJOR ? &PLUGIN : NULL;
}
