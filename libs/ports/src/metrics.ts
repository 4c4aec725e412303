/** Counts and durations. Names are those of `docs/operations.md`; labels come from closed sets, never from users. */
export interface Metrics {
  add(name: string, amount: number, labels?: Readonly<Record<string, string>>): void;
  set(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  /** One observation of a histogram; durations in seconds. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}
