export async function benchMemory(...words: readonly unknown[]): Promise<void> {
  console.log(words);
}
