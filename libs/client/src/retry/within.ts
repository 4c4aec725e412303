/** What `work` comes to, or `late` when that takes longer than `ms`; then nobody hears of it any more. Never rejects. */
export function within<T>(work: Promise<T>, ms: number, late: T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => resolve(late), Math.max(0, ms));
  void work.then(resolve, () => resolve(late)).finally(() => clearTimeout(timer));
  return promise;
}
