/* Preloaded into the server by the controls: a machine whose syncs say yes and do nothing. */
int fsync(int fd) {
  (void)fd;
  return 0;
}
int fdatasync(int fd) {
  (void)fd;
  return 0;
}
