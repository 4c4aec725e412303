#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { words_max = 16, seed_size_max = 4096, end_tries_max = 6000, end_pause_ns = 10 * 1000 * 1000 };
static const char installed[] = "/opt/kiseki/bin/kiseki-client";

struct command {
  char seed[seed_size_max];
  char *words[words_max];
  size_t count;
};
static void add_word(struct command *command, const char *word) {
  if (command->count < words_max - 1) command->words[command->count++] = (char *)word;
}
static void add_flag(struct command *command, const char *flag, const char *value) {
  if (value == NULL || value[0] == '\0') return;
  add_word(command, flag);
  add_word(command, value);
}

/* "addresses", or "addresses/tenant/namespace". */
static bool read_seed(struct command *command, const char *seed) {
  if (seed == NULL) return true;
  if (strlen(seed) >= sizeof command->seed) return false;
  strcpy(command->seed, seed);
  char *tenant = strchr(command->seed, '/');
  char *namespace = tenant == NULL ? NULL : strchr(tenant + 1, '/');
  if (tenant != NULL) {
    if (namespace == NULL || strchr(namespace + 1, '/') != NULL) return false;
    *tenant++ = '\0';
    *namespace++ = '\0';
  }
  add_flag(command, "--data-addr", command->seed);
  add_flag(command, "--tenant", tenant);
  add_flag(command, "--namespace", namespace);
  return true;
}

static bool make_folder(struct process *process) {
  const char *above = getenv("XDG_RUNTIME_DIR");
  int size = snprintf(process->folder, sizeof process->folder, "%s/kiseki-XXXXXX", above ? above : "/tmp");
  bool is_long = size < 0 || (size_t)size >= sizeof process->folder;
  if (is_long) strcpy(process->folder, "/tmp/kiseki-XXXXXX");
  if (mkdtemp(process->folder) == NULL) return false;
  snprintf(process->socket_path, sizeof process->socket_path, "%s/socket", process->folder);
  return true;
}
static void remove_folder(struct process *process) {
  unlink(process->socket_path);
  rmdir(process->folder);
}

static void run_child(char *const *words, int input, int output) {
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  execvp(words[0], words);
  if (errno == ENOENT && strchr(words[0], '/') == NULL) execv(installed, words);
  _exit(127);
}

/* Whether the first line says that it serves. */
static bool is_ready(int output) {
  static const char wanted[] = "{\"ready\":true";
  char line[4096];
  size_t size = 0;
  while (size < sizeof line && memchr(line, '\n', size) == NULL) {
    ssize_t count = read(output, line + size, sizeof line - size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    size += (size_t)count;
  }
  return size >= sizeof wanted - 1 && memcmp(line, wanted, sizeof wanted - 1) == 0;
}

static kiseki_status failed_start(struct process *process) {
  int ended = 0;
  close(process->input);
  while (waitpid(process->pid, &ended, 0) < 0 && errno == EINTR) continue;
  process->pid = 0;
  remove_folder(process);
  switch (WIFEXITED(ended) ? WEXITSTATUS(ended) : -1) {
    case 2:
      return fail_with(KISEKI_INVALID_ARG, "The client process does not take its words: it says why on standard error");
    case 4:
      return fail_with(KISEKI_PERMISSION, "The nodes do not let this client in");
    case 127:
      return fail_with(KISEKI_NOT_CONNECTED, "Cannot start kiseki-client: name it by KISEKI_CLIENT");
    default:
      return fail_with(KISEKI_NOT_CONNECTED, "No client process: it says why on standard error");
  }
}

static bool send_token(struct process *process) {
  static const char digits[] = "0123456789abcdef";
  char line[token_size * 2 + 1];
  for (size_t at = 0; at < token_size; at++) {
    line[at * 2] = digits[process->token[at] >> 4];
    line[at * 2 + 1] = digits[process->token[at] & 15];
  }
  line[sizeof line - 1] = '\n';
  struct sigaction ignored = {.sa_handler = SIG_IGN}, before;
  sigaction(SIGPIPE, &ignored, &before);
  bool is_sent = write(process->input, line, sizeof line) == (ssize_t)sizeof line;
  sigaction(SIGPIPE, &before, NULL);
  return is_sent;
}

kiseki_status start_process(struct process *process, const char *seed) {
  struct command command = {.count = 0};
  const char *named = getenv("KISEKI_CLIENT");
  memset(process, 0, sizeof *process);
  add_word(&command, named != NULL && named[0] != '\0' ? named : "kiseki-client");
  add_word(&command, "serve");
  if (!read_seed(&command, seed))
    return fail_with(KISEKI_INVALID_ARG, "A seed is host:9100,… or host:9100,…/tenant/namespace");
  int input[2], output[2];
  if (getrandom(process->token, token_size, 0) != token_size || !make_folder(process))
    return fail_with(KISEKI_IO_ERROR, "Cannot make a folder for the client process");
  add_flag(&command, "--socket", process->socket_path);
  if (pipe2(input, O_CLOEXEC) != 0) {
    remove_folder(process);
    return fail_with(KISEKI_IO_ERROR, strerror(errno));
  }
  if (pipe2(output, O_CLOEXEC) != 0) {
    close(input[0]);
    close(input[1]);
    remove_folder(process);
    return fail_with(KISEKI_IO_ERROR, strerror(errno));
  }
  process->input = input[1];
  process->pid = fork();
  if (process->pid == 0) run_child(command.words, input[0], output[1]);
  close(input[0]);
  close(output[1]);
  bool is_serving = process->pid > 0 && send_token(process) && is_ready(output[0]);
  close(output[0]);
  if (is_serving) return succeed();
  return failed_start(process);
}

void end_process(struct process *process) {
  if (process->pid <= 0) return;
  close(process->input);
  struct timespec pause = {.tv_nsec = end_pause_ns};
  int tries = 0;
  while (waitpid(process->pid, NULL, WNOHANG) == 0) {
    if (tries++ == end_tries_max) kill(process->pid, SIGKILL);
    nanosleep(&pause, NULL);
  }
  remove_folder(process);
}

int connect_to(const char *socket_path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(socket_path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, socket_path);
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made >= 0 && connect(made, (struct sockaddr *)&address, sizeof address) == 0) return made;
  int error = errno;
  if (made >= 0) close(made);
  errno = error;
  return -1;
}
