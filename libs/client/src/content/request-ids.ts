/** Numbers of bulk requests: none is under way twice on a connection, whoever asks. */
export class RequestIds {
  #next = 1;

  take(): number {
    return this.#next++;
  }
}
